import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from probunet.datasets.lidc.chest import PADDING, READERS, SIZE, Chest, agreement
from probunet.datasets.lidc.outlines import Annotation, LesionSlice, Scan, read_lesions, read_scans

SCAN = Scan("1.2.3", "test", 0.7, 2.5, np.arange(-250, 0, 2.5))


def square(x: int, y: int, side: int, id_: int = 0) -> Annotation:
    """An annotation around side x side pixels, its outline one pixel outside."""
    low, high = -1, side
    corners = [(low, low), (high, low), (high, high), (low, high)]
    steps = [
        (cx + (nx - cx) * i // (side + 1), cy + (ny - cy) * i // (side + 1))
        for (cx, cy), (nx, ny) in zip(corners, corners[1:] + corners[:1], strict=True)
        for i in range(side + 1)
    ]
    return Annotation(id_, (np.array(steps, dtype=np.int32) + np.array([x, y]),))


def lesion(readers: int, side: int = 12, x: int = 150, y: int = 250) -> LesionSlice:
    return LesionSlice(-125.0, 0, tuple(square(x, y, side, i) for i in range(readers)))


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 6])
def test_agreement_counts_the_readers_inside_their_outlines(readers):
    counted = agreement(lesion(readers))
    expected = np.zeros((SIZE, SIZE), dtype=np.uint8)
    expected[250:262, 150:162] = min(readers, READERS)
    np.testing.assert_array_equal(counted, expected)


def test_agreement_where_readers_differ_and_leave_holes():
    one, other = square(150, 250, 12), square(156, 250, 12, 1)
    hole = Annotation(2, one.inclusions, square(154, 254, 4).inclusions)
    counted = agreement(LesionSlice(0.0, 0, (one, other, hole)))
    assert counted[252, 151] == 2  # one and hole
    assert counted[252, 158] == 3
    assert counted[252, 164] == 1  # other only
    assert counted[255, 155] == 1  # in the hole: one only


def test_an_outline_without_inside_is_still_seen():
    dot = Annotation(0, (np.array([[100, 200], [101, 200]], dtype=np.int32),))
    assert agreement(LesionSlice(0.0, 0, (dot,))).sum() > 0


def test_the_more_readers_agree_the_denser_the_lesion():
    inside = (slice(253, 259), slice(153, 159))
    means = [
        float(Chest(SCAN, [lesion(readers)], seed=0).render(-125.0)[inside].mean())
        for readers in range(1, 5)
    ]
    lung = float(Chest(SCAN, [], seed=0).render(-125.0)[inside].mean())
    assert np.all(np.diff([lung, *means]) > 120)
    assert means[0] < -550
    assert means[3] > -100


def test_an_edge_is_sharper_where_all_agree():
    def width(readers: int) -> float:
        """Ratio of the step within 2 pixels to the whole height of the edge."""
        chests = [Chest(SCAN, [lesion(readers, 20)], seed=s) for s in range(6)]
        hu = np.mean([chest.render(-125.0)[255:265].mean(axis=0) for chest in chests], axis=0)
        return float((hu[150] - hu[149]) / (hu[158:162].mean() - hu[138:142].mean()))

    assert width(4) > 1.3 * width(1)


def test_a_picture_does_not_tell_which_reader_marked():
    big, small = square(150, 250, 14), square(152, 252, 6)
    pictures = [
        Chest(SCAN, [LesionSlice(-125.0, 0, pair)], seed=0).render(-125.0)
        for pair in ((big, small), (small, big))
    ]
    np.testing.assert_array_equal(*pictures)


def test_neighbouring_slices_show_the_same_anatomy_with_other_noise():
    chest = Chest(SCAN, [], seed=0)
    here, near, far = (chest.render(z).astype(float) for z in (-125.0, -124.0, -60.0))
    assert 0 < np.abs(here - near).mean() < 0.5 * np.abs(here - far).mean()


def test_a_slice_looks_like_a_chest_in_numbers():
    hu = Chest(SCAN, [], seed=0).render(-125.0)
    assert hu.dtype == np.int16
    assert hu[0, 0] == PADDING
    seen = hu > PADDING
    share = {
        "lung": np.mean((hu > -950) & (hu < -700)),
        "fat": np.mean((hu > -180) & (hu < -60)),
        "soft": np.mean((hu > -20) & (hu < 120)),
        "bone": np.mean(hu > 400),
    }
    assert 0.15 < share["lung"] < 0.5
    assert 0.03 < share["fat"] < 0.3
    assert 0.08 < share["soft"] < 0.4
    assert 0.003 < share["bone"] < 0.06
    muscle = binary_erosion(seen & (hu > -40) & (hu < 140), iterations=3)
    assert 15 < hu[muscle].std() < 60


def test_real_lesions_lie_in_lung():
    """Around outlines there is lung, wherever the readers found the lesion."""
    lesions, scans = read_lesions(), read_scans()
    shares = []
    for series in sorted(lesions)[::110]:
        slice_ = lesions[series][0]
        hu = Chest(scans[series], lesions[series], seed=0).render(slice_.z)
        x0, x1, y0, y1 = slice_.box
        ring = np.zeros(hu.shape, dtype=bool)
        ring[y0 - 4 : y1 + 5, x0 - 4 : x1 + 5] = True
        ring[y0 - 1 : y1 + 2, x0 - 1 : x1 + 2] = False
        shares.append(np.mean(hu[ring] < -500))
    assert np.mean(shares) > 0.85
    assert min(shares) > 0.4
