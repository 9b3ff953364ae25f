"""Advise (3): the path through the tree, what fits, the run."""
