"""prepare: raw images and labels -> a store of crops or scenes, and folds over its subjects."""
