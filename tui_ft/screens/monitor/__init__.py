"""Monitor (5): one run, live."""
