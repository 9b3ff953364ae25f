"""What can be known to go wrong with a run before anything heavy is loaded."""
