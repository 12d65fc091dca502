import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from probunet.datasets.lidc.outlines import Annotation
from probunet.datasets.lidc.rasterise import rasterise

FIRST_PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0002")


def differing(pylidc, annotation, outlines) -> int:
    """Return on how many pixels the masks of an annotation's slices differ from pylidc's."""
    box = annotation.bbox_matrix(pad=2)
    theirs = annotation.boolean_mask(bbox=box)
    height, width, _ = theirs.shape
    different = 0
    for z, outline in outlines.items():
        k = int(np.abs(annotation.scan.slice_zvals - z).argmin() - box[2, 0])
        ours = rasterise([outline], box[1, 0], box[0, 0], 1.0, max(height, width))[0]
        different += int((ours[:height, :width] != theirs[:, :, k]).sum())
        assert not ours[height:].any()
        assert not ours[:, width:].any()
    return different


def of_patients(pylidc, patients):
    query = pylidc.query(pylidc.Annotation).join(pylidc.Scan)
    return query.filter(pylidc.Scan.patient_id.in_(patients)).all()


def test_native_masks_of_the_sample_patients_are_pylidcs(pylidc, outlines_by_id):
    annotations = of_patients(pylidc, FIRST_PATIENTS)
    assert len(annotations) > 4
    assert all(differing(pylidc, a, outlines_by_id[a.id]) == 0 for a in annotations)


def test_native_masks_of_random_annotations_are_pylidcs(pylidc, outlines_by_id):
    ids = np.random.default_rng(0).choice(sorted(outlines_by_id), 40, replace=False).tolist()
    annotations = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_(ids)).all()
    assert len(annotations) == 40
    assert [a.id for a in annotations if differing(pylidc, a, outlines_by_id[a.id])] == []


@pytest.mark.slow
def test_native_masks_of_all_annotations_are_pylidcs(pylidc, outlines_by_id):
    annotations = pylidc.query(pylidc.Annotation).all()
    assert len(annotations) == 6859
    assert [a.id for a in annotations if differing(pylidc, a, outlines_by_id[a.id])] == []


def brute_force(annotation: Annotation, x0: float, y0: float, step: float, size: int):
    """The definition, point by point: inside, and further than half a pixel from the outline."""
    at = np.arange(size) * step
    points = np.stack(np.meshgrid(x0 + at, y0 + at), axis=-1).reshape(-1, 2)
    mask = np.zeros(len(points), dtype=bool)
    for polygon in annotation.inclusions:
        mask = (mask | inside(polygon, points)) & ~near(polygon, points)
    for polygon in annotation.exclusions:
        mask &= ~(inside(polygon, points) | near(polygon, points))
    return mask.reshape(size, size)


def inside(polygon, points):
    closed = np.vstack([polygon, polygon[:1]])
    return Polygon(closed[:, ::-1], closed=True).contains_points(points[:, ::-1])


def near(polygon, points):
    result = np.zeros(len(points), dtype=bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if np.abs(b - a).max() > 1:  # a gap: only its ends, which are starts of other steps too
            b = a
        along = np.clip((points - a) @ (b - a) / max(((b - a) ** 2).sum(), 1), 0, 1)
        result |= np.hypot(*(points - a - along[:, None] * (b - a)).T) <= 0.5
    return result


def smooth_outline(radii: list[float], centre: tuple[int, int]) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]
    return np.rint(points + centre).astype(np.int32)


corners = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=9)
polygons = st.one_of(
    corners.map(lambda points: np.array(points, dtype=np.int32)),
    st.builds(smooth_outline, st.lists(st.floats(1, 6), min_size=24, max_size=60), st.just((6, 6))),
)
# no point of such grids lies exactly on an edge or half a pixel from one
offsets = st.integers(-40, 40).map(lambda n: n / 7 + 0.0123)


@settings(max_examples=150, deadline=None)
@given(
    inclusions=st.lists(polygons, min_size=1, max_size=3),
    exclusions=st.lists(polygons, max_size=2),
    x0=offsets,
    y0=offsets.map(lambda x: x + 0.0096),  # else points with x = y lie on diagonal edges
    step=st.sampled_from([0.1937, 0.5171, 0.7113, 1.0871]),
    size=st.integers(1, 40),
)
def test_any_grid_follows_the_definition(inclusions, exclusions, x0, y0, step, size):
    annotation = Annotation(1, tuple(inclusions), tuple(exclusions))
    other = Annotation(2, (np.array([[3, 3], [30, 4], [5, 29]], dtype=np.int32),))
    masks = rasterise([annotation, other], x0, y0, step, size)
    for mask, one in zip(masks, (annotation, other), strict=True):
        np.testing.assert_array_equal(mask, brute_force(one, x0, y0, step, size))


def test_area_on_the_fine_grid_is_unbiased(outlines_by_id):
    """Of lesions large enough: the area in mm2 is that of the native pixels, within 3 %."""
    areas = []
    for by_z in list(outlines_by_id.values())[:400]:
        for outline in by_z.values():
            x0, x1, y0, y1 = outline.box
            native = rasterise([outline], x0, y0, 1.0, max(x1 - x0, y1 - y0) + 1).sum()
            if native > 200:
                step = 0.5 / 0.7
                fine = rasterise([outline], x0 + 0.1, y0 + 0.1, step, 180).sum() * step**2
                areas.append((native, fine))
    native, fine = np.array(areas).T
    assert len(native) > 20
    assert abs(fine.sum() / native.sum() - 1) < 0.03


def test_a_lesion_beside_the_grid_leaves_it_empty():
    square = Annotation(1, (np.array([[0, 0], [9, 0], [9, 9], [0, 9]], dtype=np.int32),))
    assert not rasterise([square], 50.0, 0.0, 0.7, 20).any()
