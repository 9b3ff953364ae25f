"""Rows out of files of any kind, one at a time, with the place of each."""
