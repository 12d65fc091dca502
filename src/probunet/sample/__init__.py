"""Sample hypotheses for the test images of a run."""
