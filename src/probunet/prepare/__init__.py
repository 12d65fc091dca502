"""prepare: make a store from raw images and labels, and folds over its subjects."""
