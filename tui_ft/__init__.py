"""ftui: fine-tune language models on a GPU server, from a terminal."""

__version__ = "0.1.0"
