"""prepare: raw slices and outlines -> a store of crops, and folds over its patients."""
