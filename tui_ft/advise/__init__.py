"""Advice: from what is known of data, model and GPUs to a run that fits, by a tree one can read.

Nothing here reads a file, asks a device or loads torch: callers gather the situation.
"""
