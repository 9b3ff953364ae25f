"""Fixtures for the tests of data."""

from tests.data.chats import tokenizers

__all__ = ["tokenizers"]
