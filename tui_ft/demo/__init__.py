"""The demonstration: a real small model learns to turn plain requests into strict JSON commands."""
