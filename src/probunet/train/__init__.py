"""Train the model of a run."""
