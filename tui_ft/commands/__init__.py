"""The headless twins of the screens: one module for each group of commands."""
