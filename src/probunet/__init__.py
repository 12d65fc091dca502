"""The Probabilistic U-Net (Kohl et al., 2018), from CT slices to a GED table and a report."""

__version__ = "0.1.0"
