from pathlib import Path

import numpy as np
import pytest

from probunet import store
from probunet.cityscapes import CLASSES, FLIPS
from probunet.report.choice import ImageScores
from probunet.report.scenes import draw, fitted, legend
from probunet.run import Run

from .streets import write_samples, write_scenes


def test_an_example_tells_each_sample_s_names(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes.zarr", 3, (32, 64))
    scenes = store.open_scenes(tmp_path / "scenes.zarr")
    run = Run("cityscapes", "unet", 1.0, 2, 0)
    write_samples(tmp_path, run, scenes, np.array([1]), 20, latent=False)
    samples = store.open_samples(tmp_path / "samples.zarr")
    row: ImageScores = {"row": 1, "city": "lindau", "frame": "f", "ged": 0.5}
    example = draw(run, row, samples, scenes)
    label = np.asarray(scenes.label[1])
    expected = [name for name in FLIPS if (label == CLASSES.index(name)).any()]
    assert example.present == expected
    assert len(example.samples) == 16
    for drawn, sample in zip(example.samples, np.asarray(samples.samples[0]), strict=False):
        for name, told in zip(FLIPS, drawn.names, strict=True):
            if name not in expected:
                assert told == "none"
                continue
            there = sample[label == CLASSES.index(name)].tolist()
            counts = [there.count(CLASSES.index(one)) for one in (name, f"{name} 2")]
            assert told == ("second" if counts[1] > counts[0] else "first")
    assert len({tuple(drawn.names) for drawn in example.samples}) > 1


def test_the_legend_names_the_flips() -> None:
    assert [(flip.name, flip.probability) for flip in legend()] == [
        ("sidewalk", "8/17"),
        ("person", "7/17"),
        ("car", "6/17"),
        ("vegetation", "5/17"),
        ("road", "4/17"),
    ]
    assert all(flip.colour != flip.second_colour for flip in legend())


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
