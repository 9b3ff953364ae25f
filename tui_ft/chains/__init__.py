"""Chains of runs: started as one thing, each run beginning with what an earlier one left."""
