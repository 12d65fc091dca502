"""Fetch scans: an existing tree, or synthetic ones; each leaves a raw manifest."""
