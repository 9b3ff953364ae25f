"""What a method trains: adapters, how they begin, how they are held, what they add to a loss."""
