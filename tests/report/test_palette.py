import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from probunet.flips import CLASSES, FIRST, IGNORE, SECOND
from probunet.pictures.encode import indexed
from probunet.pictures.palette import PALETTE, coloured, css


def test_every_class_has_a_colour_of_its_own() -> None:
    assert PALETTE.shape == (len(CLASSES) + 1, 3)
    assert len(np.unique(PALETTE, axis=0)) == len(PALETTE)
    assert css(CLASSES.index("car")) == "#00008e"


def test_a_second_name_is_lighter_than_the_first() -> None:
    brightness = PALETTE.astype(int).sum(axis=1)
    assert (brightness[SECOND] > brightness[FIRST] + 150).all()


@given(arrays(np.uint8, (9, 14), elements=st.sampled_from([*range(len(CLASSES)), IGNORE])))
def test_only_second_names_are_striped(classes: np.ndarray) -> None:
    indices = coloured(classes)
    second = np.isin(classes, SECOND)
    ignored = classes == IGNORE
    np.testing.assert_array_equal(indices[~second & ~ignored], classes[~second & ~ignored])
    assert (indices[ignored] == len(CLASSES)).all()
    first_of = dict(zip(SECOND.tolist(), FIRST.tolist(), strict=True))
    for drawn, name in zip(indices[second].tolist(), classes[second].tolist(), strict=True):
        assert drawn in (name, first_of[name])


@pytest.mark.parametrize(("first", "second"), [*zip(FIRST, SECOND, strict=True)])
def test_stripes_take_a_third(first: np.uint8, second: np.uint8) -> None:
    indices = coloured(np.full((36, 36), second, np.uint8))
    assert (indices == first).mean() == pytest.approx(1 / 3)


def test_a_png_shows_the_palette_s_colours() -> None:
    indices = np.arange(len(PALETTE), dtype=np.uint8).reshape(5, 5)
    kind, _, data = indexed(indices, PALETTE).partition(",")
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), PALETTE[indices])
