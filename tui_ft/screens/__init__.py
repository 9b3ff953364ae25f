"""One module for each screen: layout, keys and messages. What is computed is computed below."""
