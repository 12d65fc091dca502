import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from scipy.ndimage import map_coordinates

from probunet.datasets.lidc.crop import SPACING, Grid
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
    """The definition, point by point: the native mask, interpolated; the largest, by its area."""
    points = np.concatenate([*annotation.inclusions, *annotation.exclusions])
    (left, top), (right, bottom) = points.min(axis=0) - 1, points.max(axis=0) + 1
    shape = (bottom - top + 1, right - left + 1)
    y, x = np.indices(shape)
    pixels = np.stack([x.ravel() + left, y.ravel() + top], axis=-1)
    mask = np.zeros(len(pixels), dtype=bool)
    for polygon in annotation.inclusions:
        mask = (mask | inside(polygon, pixels)) & ~on(polygon, pixels)
    for polygon in annotation.exclusions:
        mask &= ~(inside(polygon, pixels) | on(polygon, pixels))
    native = mask.reshape(shape).astype(float)
    reach = int(50 / step)  # wide enough for the whole lesion
    at = np.arange(-reach, size + reach) * step
    where = np.meshgrid(y0 + at - top, x0 + at - left, indexing="ij")
    values = map_coordinates(native, where, order=1, mode="constant")
    count = max(round(native.sum() / step**2), 1)
    lowest = np.sort(values, axis=None)[-count]
    chosen = (values >= max(lowest - 1e-9, 1e-9))[reach : reach + size, reach : reach + size]
    ties = (np.abs(values - lowest) < 1e-9)[reach : reach + size, reach : reach + size]
    return chosen, ties


def inside(polygon, points):
    closed = np.vstack([polygon, polygon[:1]])
    return Polygon(closed[:, ::-1], closed=True).contains_points(points[:, ::-1])


def on(polygon, pixels):
    return (pixels[:, None] == polygon).all(axis=2).any(axis=1)


def smooth_outline(radii: list[float], centre: tuple[int, int]) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(radii)[:, None]
    return np.rint(points + centre).astype(np.int32)


corners = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=9)
polygons = st.one_of(
    corners.map(lambda points: np.array(points, dtype=np.int32)),
    st.builds(smooth_outline, st.lists(st.floats(1, 6), min_size=24, max_size=60), st.just((6, 6))),
)
offsets = st.integers(-40, 40).map(lambda n: n / 7 + 0.0123)


@settings(max_examples=150, deadline=None)
@given(
    inclusions=st.lists(polygons, min_size=1, max_size=3),
    exclusions=st.lists(polygons, max_size=2),
    x0=offsets,
    y0=offsets.map(lambda x: x + 0.0096),
    step=st.sampled_from([0.1937, 0.5171, 0.7113, 1.0871]),
    size=st.integers(1, 40),
)
def test_any_grid_follows_the_definition(inclusions, exclusions, x0, y0, step, size):
    annotation = Annotation(1, tuple(inclusions), tuple(exclusions))
    other = Annotation(2, (np.array([[3, 3], [30, 4], [5, 29]], dtype=np.int32),))
    masks = rasterise([annotation, other], x0, y0, step, size)
    for mask, one in zip(masks, (annotation, other), strict=True):
        chosen, ties = brute_force(one, x0, y0, step, size)
        np.testing.assert_array_equal(mask | ties, chosen | ties)


def areas(scans, lesions, series) -> np.ndarray:
    """Return each annotation's area on the slice's pixels and in its crop, mm2: (n, 2)."""
    found = []
    for uid in series:
        spacing = scans[uid].pixel_spacing
        for lesion in lesions[uid]:
            x0, x1, y0, y1 = lesion.box
            on_slice = rasterise(lesion.annotations, x0, y0, 1, max(x1 - x0, y1 - y0) + 1)
            grid = Grid.around(lesion, spacing)
            in_crop = rasterise(lesion.annotations, grid.x, grid.y, grid.step, grid.size)
            native = on_slice.sum(axis=(1, 2)) * spacing**2
            found.append(np.stack([native, in_crop.sum(axis=(1, 2)) * SPACING**2], axis=1))
    return np.concatenate(found)


def check_areas(native, in_crop):
    assert abs(in_crop.sum() / native.sum() - 1) < 0.003
    ratio = in_crop[native > 0] / native[native > 0]
    assert ratio.min() > 0, "a lesion is lost"
    assert not in_crop[native == 0].any()
    sizes = np.digitize(native[native > 0], (10, 30, 100, 300))
    for size in range(5):
        assert abs(ratio[sizes == size].mean() - 1) < 0.01
        assert abs(np.median(ratio[sizes == size]) - 1) < 0.02


def test_masks_of_crops_have_the_area_of_the_slices_pixels(scans, lesions):
    """Of lesions of all sizes, in 100 scans of all pixel spacings."""
    series = np.random.default_rng(0).choice(sorted(lesions), 100, replace=False).tolist()
    native, in_crop = areas(scans, lesions, series).T
    assert len(native) > 3000
    check_areas(native, in_crop)


@pytest.mark.slow
def test_masks_of_all_crops_have_the_area_of_the_slices_pixels(scans, lesions):
    native, in_crop = areas(scans, lesions, lesions).T
    assert len(native) == 40171
    check_areas(native, in_crop)


@pytest.mark.parametrize("step", [0.51, 0.7, 1.08])
def test_a_lesion_of_one_pixel_is_not_lost_wherever_it_lies(step):
    ring = Annotation(1, (np.array([[0, 1], [1, 0], [2, 1], [1, 2]], dtype=np.int32),))
    for offset in np.linspace(0, step, 20):
        assert rasterise([ring], offset - 5, offset / 2 - 5, step, 30).any()


def test_a_lesion_beside_the_grid_leaves_it_empty():
    square = Annotation(1, (np.array([[0, 0], [9, 0], [9, 9], [0, 9]], dtype=np.int32),))
    assert not rasterise([square], 50.0, 0.0, 0.7, 20).any()
