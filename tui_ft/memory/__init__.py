"""What a run will need of a GPU's memory: estimated at once, replayed exactly, measured."""
