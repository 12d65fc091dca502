"""Tiles: they cover an image, and what is laid together is what they showed."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from probunet.models.tiles import inner_alone, padded, seen_in, through_tiles, tiles_of

lengths = st.integers(1, 70)
sides = st.integers(1, 40)


@given(lengths, lengths, sides)
def test_maps_of_tiles_are_laid_together_to_those_of_the_image(height, width, side):
    image = np.arange(height * width * 2).reshape(height, width, 2)
    whole = padded(image, (side, side), -1)
    assert whole.shape == (max(height, side), max(width, side), 2)
    seen = torch.from_numpy(np.moveaxis(whole, -1, 0))[None]
    stored = (height + 3, width + 5)
    tiles = tiles_of((height, width), (side, side))
    batches = []

    def maps(some):
        batches.append(len(some))
        shown = seen_in(seen, some)
        assert shown.shape == (len(some), 2, side, side)
        return [shown[:, 0], shown.movedim(1, 0)]

    first, both = through_tiles(tiles, stored, maps)
    assert sum(batches) == len(tiles)
    assert max(batches) <= 16
    assert first.shape == stored
    assert both.shape == (2, *stored)
    assert torch.equal(first, both[0])
    assert np.array_equal(np.moveaxis(both.numpy(), 0, -1)[:height, :width], image)
    assert not both[:, height:].any()
    assert not both[..., width:].any()


@given(lengths, lengths, sides)
def test_each_pixel_is_taken_from_one_tile(height, width, side):
    tiles = tiles_of((height, width), (side, side))
    counts = np.zeros((height, width), int)
    for tile in tiles:
        counts[tile.part] += 1
    assert (counts == 1).all()
    alone = inner_alone(torch.zeros(len(tiles), 1, side, side, dtype=torch.int64), tiles, 9)
    assert int((alone == 0).sum()) == height * width
