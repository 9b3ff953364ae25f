"""From model, data and GPUs to advice, and to what a run comes to; without screens or torch."""
