"""Boxes over a screen that several screens open."""
