"""Reading data sets whole, in processes of their own: surveys, duplicates, tokens, downloads."""
