"""The life of a run: its folder, events, supervisor, control, and the queue for GPUs."""
