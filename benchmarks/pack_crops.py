"""Pack the crops of LIDC-IDRI-slices into one file, below 40 MB, that NumPy alone reads.

`benchmarks/accelerator.py` trains on it, on a machine that has torch and NumPy only:

    python benchmarks/pack_crops.py crops.npz
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelerator import PARTS
from common import ROOT, prepared, with_crops
from probunet.datasets import open_data
from probunet.folds import Folds

SPLIT = ROOT / "workflow/lidc-crops.folds.json"
LARGEST = 40_000_000  # bytes


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("output", type=Path, help="the file to write, .npz")
    arguments = with_crops(options)
    with tempfile.TemporaryDirectory() as folder:
        data = open_data(prepared(arguments.crops, Path(folder)))
        fold = Folds.read(SPLIT).folds[0]
        part = np.full(len(data), -1, np.int8)
        for number, name in enumerate(PARTS):
            part[data.rows_of(getattr(fold, name))] = number
        patients = np.unique(data.subjects, return_inverse=True)[1]
        save(arguments.output, data.image[:], data.masks[:], patients, part)
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {len(part)} crops, {size / 1e6:.1f} MB")
    if size > LARGEST:
        raise SystemExit(f"{arguments.output}: is larger than {LARGEST / 1e6:.0f} MB")


def save(
    path: Path,
    image: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    patient: NDArray[np.int64],
    part: NDArray[np.int8],
) -> None:
    """Write crops to a file that `accelerator.load` reads.

    Parameters
    ----------
    image : (n, H, W)
        Stored as differences of neighbours, which compress better.
    masks : (n, H, W)
        Bit g is the mask of grader g.
    patient : (n,)
        A number for each patient.
    part : (n,)
        Positions in `PARTS`; -1 is in none.
    """
    differences = np.diff(image, axis=-1, prepend=np.uint8(0))  # modulo 256
    np.savez_compressed(
        path, differences=differences, masks=masks, patient=patient.astype(np.int32), part=part
    )


if __name__ == "__main__":
    main()
