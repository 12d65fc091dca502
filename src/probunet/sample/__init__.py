"""Draw segmentation hypotheses for the test images of a run."""
