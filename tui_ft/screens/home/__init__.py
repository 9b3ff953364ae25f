"""Home (1): the machine and every run."""
