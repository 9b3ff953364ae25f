"""Configure (4): every field of a run, and what the run comes to."""
