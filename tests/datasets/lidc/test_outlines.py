import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.datasets.lidc.outlines import Annotation, _overlapping, read_lesions, read_scans


def annotation(id_: int, box: tuple[int, int, int, int]) -> Annotation:
    x0, x1, y0, y1 = box
    return Annotation(id_, (np.array([[x0, y0], [x1, y1]], dtype=np.int32),))


spans = st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda s: (s[0], s[0] + s[1]))
boxes = st.tuples(spans, spans).map(lambda s: (*s[0], *s[1]))


@given(st.lists(boxes, max_size=12))
def test_groups_are_the_connected_components_of_overlapping_boxes(boxes):
    annotations = [annotation(i, box) for i, box in enumerate(boxes)]
    found = {frozenset(a.id for a in group) for group in _overlapping(annotations)}
    assert found == brute_force(boxes)


def brute_force(boxes) -> set[frozenset[int]]:
    """Paint the boxes' pixels, and merge groups as long as two share one."""
    pixels = [
        {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)} for x0, x1, y0, y1 in boxes
    ]
    groups = {frozenset([i]) for i in range(len(boxes))}
    merged = True
    while merged:
        merged = False
        for a in groups:
            for b in groups:
                if a != b and any(pixels[i] & pixels[j] for i in a for j in b):
                    groups = (groups - {a, b}) | {a | b}
                    merged = True
                    break
            if merged:
                break
    return groups


def test_a_box_holds_all_inclusions_and_no_exclusion():
    two = Annotation(
        1,
        (np.array([[3, 4], [5, 9]], np.int32), np.array([[10, 2], [11, 3]], np.int32)),
        (np.array([[0, 0], [99, 99]], np.int32),),
    )
    assert two.box == (3, 11, 2, 9)


def test_some_series_read_as_among_all():
    everything = read_lesions()
    chosen = sorted(everything)[10:13]
    some = read_lesions([*chosen, "no such series"])
    assert sorted(some) == chosen
    for series in chosen:
        assert len(some[series]) == len(everything[series])
        for a, b in zip(some[series], everything[series], strict=True):
            assert (a.z, a.lesion, a.box) == (b.z, b.lesion, b.box)
            assert [x.id for x in a.annotations] == [x.id for x in b.annotations]


def test_scans_are_those_of_the_database():
    scans = read_scans()
    assert len(scans) == 1018
    assert len({scan.patient for scan in scans.values()}) == 1010
    assert all((np.diff(scan.z) >= 0).all() for scan in scans.values())


def test_a_lesion_keeps_its_number_from_slice_to_slice():
    slices = next(iter(read_lesions().values()))
    numbers: dict[int, set[int]] = {}
    for lesion in slices:
        for a in lesion.annotations:
            numbers.setdefault(a.id, set()).add(lesion.lesion)
    assert all(len(found) == 1 for found in numbers.values())


@pytest.mark.parametrize("name", ["inclusions", "exclusions"])
def test_polygons_are_whole_pixels(name):
    some = read_lesions(sorted(read_scans())[:60])
    polygons = [
        polygon
        for slices in some.values()
        for lesion in slices
        for a in lesion.annotations
        for polygon in getattr(a, name)
    ]
    assert polygons
    assert all(p.dtype == np.int32 and p.ndim == 2 and p.shape[1] == 2 for p in polygons)
