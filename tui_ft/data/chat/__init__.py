"""Conversations as a model's own template writes them, and which of their tokens are learned."""
