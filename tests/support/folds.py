"""Files of folds."""

from pathlib import Path

from probunet.folds import Fold, Folds


def write_folds(path: Path, dataset: str, train: str, validation: str, test: str) -> Path:
    """Write one fold, whose parts are subjects with a space between them."""
    parts = {"train": train, "validation": validation, "test": test}
    fold = Fold(**{name: tuple(text.split()) for name, text in parts.items()})
    Folds(dataset=dataset, seed=0, folds=(fold,)).write(path)
    return path
