import numpy as np

from probunet.datasets.lidc.crop import Grid
from probunet.datasets.lidc.outlines import Annotation
from probunet.datasets.lidc.rasterise import rasterise
from probunet.datasets.lidc.shard import draw_masks

GRID = Grid(0.0, 0.0, 1.0, size=40)


def square(id_: int, side: int, at: int = 2) -> Annotation:
    corners = [[at, at], [at + side, at], [at + side, at + side], [at, at + side]]
    return Annotation(id_, (np.array(corners, dtype=np.int32),))


def test_bit_g_is_the_gth_annotation_by_id():
    annotations = [square(9, 20), square(3, 10, at=15), square(5, 6)]
    bits = draw_masks(annotations, GRID)
    for g, annotation in enumerate([annotations[1], annotations[2], annotations[0]]):
        mask = rasterise([annotation], 0, 0, 1.0, 40)[0]
        np.testing.assert_array_equal((bits >> g & 1).astype(bool), mask)
    assert bits.max() < 8


def test_of_more_than_four_the_largest_stay_and_of_equal_ones_the_first():
    annotations = [square(1, 5), square(2, 8), square(3, 20), square(4, 8), square(5, 30)]
    annotations.append(square(6, 8))
    bits = draw_masks(annotations, GRID)
    kept = [annotations[i] for i in (1, 2, 3, 4)]  # ids 2, 3, 4, 5; 6 equals 2 and 4
    np.testing.assert_array_equal(bits, draw_masks(kept, GRID))
