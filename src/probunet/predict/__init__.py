"""Samples of images of one's own, from trained weights."""
