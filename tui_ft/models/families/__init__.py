"""Families of models, each a row of a table."""
