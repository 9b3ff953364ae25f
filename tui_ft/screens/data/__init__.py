"""Data (2): rows, what is learned of them, what is wrong with them."""
