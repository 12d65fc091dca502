"""Crops of LIDC-IDRI that others released, with their four masks: what the literature uses.

Each set has a file that lists its crops; the rest is common to all sets.
"""
