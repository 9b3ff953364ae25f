"""What is known of a data set as a whole: asked for, read in a process of its own, looked at."""
