"""From samples to scores of each image, and from runs to tables."""
