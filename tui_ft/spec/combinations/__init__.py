"""What cannot go together in a run, why, and what to do: one table a subject."""
