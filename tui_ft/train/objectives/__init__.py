"""What a run optimises: one module for each objective."""
