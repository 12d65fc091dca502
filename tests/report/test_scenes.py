import numpy as np
import pytest

from probunet.pictures.maps import fitted, thinned


@pytest.mark.parametrize(
    ("width", "wanted", "shown"),
    [(512, 256, 256), (512, 170, 171), (64, 256, 256), (64, 170, 192), (100, 99, 100)],
)
def test_maps_are_brought_to_about_a_width(width: int, wanted: int, shown: int) -> None:
    classes = np.indices((width // 2, width)).sum(axis=0).astype(np.uint8)
    found = fitted(classes, wanted)
    assert found.shape[1] == shown
    assert abs(shown - 2 * len(found)) <= 1
    assert np.isin(found, classes).all()
    if shown >= width:
        times = shown // width
        np.testing.assert_array_equal(found[::times, times - 1 :: times], classes)


def test_a_map_that_is_small_is_not_thinned() -> None:
    classes = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(thinned(classes, 128), classes)
    np.testing.assert_array_equal(thinned(classes, 3), classes[1::2, 1::2])
