"""One run in several processes: its launcher, its meeting, and what its ranks agree on."""
