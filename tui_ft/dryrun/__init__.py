"""The memory dry run: one training step on tensors without data, in a process of its own."""
