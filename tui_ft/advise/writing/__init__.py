"""Advice written down: a run, or a chain of runs, with the reason for each field."""
