"""Distances and scores of segmentations, as functions of arrays."""
