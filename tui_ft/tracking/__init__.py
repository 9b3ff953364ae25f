"""Trackers of others, each in a process of its own that reads `events.jsonl` beside the run."""
