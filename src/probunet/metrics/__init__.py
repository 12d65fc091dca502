"""Scores between packed binary masks."""
