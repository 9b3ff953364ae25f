"""Rows of files as what a trainer learns from."""
