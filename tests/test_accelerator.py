"""`benchmarks/accelerator.py`: all of it runs on a CPU, without anything but torch and NumPy."""

import json
import sys
import time
from typing import get_type_hints

import numpy as np
import pytest
import torch

import accelerator
from accelerator import (
    AUGMENTATION,
    GRADERS,
    SHARES,
    SMALL,
    Crops,
    OutOfTime,
    Training,
    at_most,
    ged,
    main,
    peak_memory,
    waits,
)
from common import CROPS, prepared
from pack_crops import save
from probunet.config import Augmentation
from probunet.datasets import open_data
from probunet.metrics.bits import pack
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance
from support.torch_alone import run_with_torch_alone

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def arrays():
    """Return images, masks, patients and parts of 40 crops of random numbers."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (40, 48, 48), np.uint8)
    masks = random.integers(0, 2**GRADERS, (40, 48, 48), np.uint8)
    return image, masks, np.arange(40) // 4, (np.arange(40) // 4 % 3).astype(np.int8)


@pytest.fixture(scope="module")
def packed(arrays, tmp_path_factory):
    """Return the file of these crops."""
    path = tmp_path_factory.mktemp("packed") / "crops.npz"
    save(path, *arrays)
    return path


@pytest.mark.parametrize("compiler", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_every_part_runs_with_torch_and_numpy_alone(packed, tmp_path, compiler):
    words = ["", str(packed), "--small", "--device", "cpu", "--json", str(tmp_path / "found.json")]
    ways = "{'compiled': {}, 'CUDA graphs': {'mode': 'reduce-overhead'}}"
    if compiler == "eager":
        ways = "dict.fromkeys(['compiled', 'CUDA graphs'], {'backend': 'eager'})"
    run_with_torch_alone(
        f"import accelerator; accelerator.COMPILE = {ways}; sys.argv = {words}; accelerator.main()"
    )
    found = json.loads((tmp_path / "found.json").read_text())
    failed = {
        name: one for name, one in found.items() if isinstance(one, dict) and "failed" in str(one)
    }
    assert not failed
    speeds = [one for one in found["throughput"].values() if isinstance(one, dict)]
    assert len(speeds) == 10
    assert all(one["images_per_second"] > 0 for one in speeds)
    assert found["throughput"]["bfloat16, large batch"]["batch"] == SMALL.large_batch
    assert found["synchronisation"]["not measured"]
    assert 0 < sum(found["where_time_goes"]["operations"].values()) <= 1.01
    assert found["where_time_goes"]["operations"] == found["where_time_goes"]["kernels"]  # a CPU's
    assert set(found["side_by_side"]) == {"1", "2", "seconds of this part"}
    assert len(found["side_by_side"]["2"]["each"]) == 2
    for name in ("seed 0", "seed 1", "seed 2", "seed 0, CUDA graphs"):
        assert found["time_to_ged"][name]["steps"] > 0
    assert found["sampling"]["bfloat16"]["images_per_second"] > 0


def test_the_parts_share_ten_minutes():
    assert sum(share for share, _ in SHARES.values()) <= 0.95


def test_a_part_that_takes_too_long_keeps_what_it_has(packed, tmp_path, monkeypatch):
    def endless(figures, path, device, sizes):
        figures["first"] = 1
        while True:
            try:
                time.sleep(1)
            except Exception:  # as a compiler does
                figures["seen"] = True

    def broken(figures, path, device, sizes):
        raise RuntimeError("no compiler")

    parts = {"endless": (0.001, endless), "broken": (0.9, broken)}
    monkeypatch.setattr(accelerator, "SHARES", parts)
    path = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["", str(packed), "--device", "cpu", "--json", str(path)])
    main()
    found = json.loads(path.read_text())
    assert found["endless"]["first"] == 1
    assert "longer than its share" in found["endless"]["failed"]
    assert "seen" not in found["endless"]
    assert found["broken"]["failed"] == "RuntimeError: no compiler"


def test_time_that_is_enough_ends_nothing():
    with at_most(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(OutOfTime), at_most(0.05):
        time.sleep(10)


def test_crops_are_read_as_they_were_packed(arrays, packed):
    image, masks, patient, part = arrays
    crops = Crops(packed, CPU)
    np.testing.assert_array_equal(crops.image[:, 0], image)
    np.testing.assert_array_equal(crops.masks, masks)
    np.testing.assert_array_equal(crops.patient, patient)
    np.testing.assert_array_equal(crops.rows("validation"), np.flatnonzero(part == 1))
    centre, graders = crops.centre(torch.tensor([3, 5]), 16)
    np.testing.assert_allclose(centre[:, 0], image[[3, 5], 16:32, 16:32] / np.float32(255))
    for grader in range(GRADERS):
        expected = masks[[3, 5], 16:32, 16:32] >> grader & 1
        np.testing.assert_array_equal(graders[:, grader], expected.astype(bool))


def test_batches_are_of_the_rows_and_repeat(packed):
    crops = Crops(packed, CPU)
    crops.image[:] = 0
    crops.image[7] = 255
    crops.masks[:] = 0
    crops.masks[7] = 0b1111
    image, mask = crops.draw(torch.tensor([7]), 3, 16, 0, 1)
    assert image.shape == (3, 1, 16, 16)
    torch.testing.assert_close(image, torch.ones_like(image))
    assert mask.shape == (3, 16, 16)
    assert mask.dtype == torch.int64
    assert bool((mask == 1).all())
    image, mask = crops.draw(crops.rows("test"), 3, 16, 0, 1)
    again = crops.draw(crops.rows("test"), 3, 16, 0, 1)
    assert torch.equal(image, again[0])
    assert torch.equal(mask, again[1])


def test_augmentation_is_that_of_a_study():
    settings = Augmentation()
    for name, value in vars(AUGMENTATION).items():
        assert getattr(settings, name) == value
    others = set(get_type_hints(Augmentation)) & set(Augmentation.model_fields)
    assert others - set(vars(AUGMENTATION)) == {"gamma", "gamma_probability"}  # off by default


def test_ged_is_the_package_s():
    random = np.random.default_rng(0)
    samples = random.random((5, 8, 12, 12)) < random.choice([0, 0.1, 0.6], (5, 8, 1, 1))
    masks = random.random((5, GRADERS, 12, 12)) < random.choice([0, 0.3], (5, GRADERS, 1, 1))
    found = ged(torch.from_numpy(samples), torch.from_numpy(masks))
    expected = energy_distance(distances(pack(samples), pack(masks)), 8).ged
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("usual", [False, "as it is", "channels_last"])
def test_a_step_lowers_the_loss(packed, usual):
    crops = Crops(packed, CPU)
    torch.manual_seed(0)
    training = Training(crops, crops.rows("train"), (4, 8), 4, 16, precision="float32", usual=usual)
    losses = [training.step().item() for _ in range(60)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_the_real_crops_fit_below_forty_megabytes(tmp_path, monkeypatch):
    if not CROPS.exists():
        pytest.skip("the real crops are not here: ../shared/lidc-crops")
    import pack_crops

    path = tmp_path / "crops.npz"
    monkeypatch.setattr(sys, "argv", ["", str(path)])
    pack_crops.main()
    crops, data = Crops(path, CPU), open_data(prepared(CROPS, tmp_path))
    assert path.stat().st_size < 40e6
    np.testing.assert_array_equal(crops.image[:, 0], data.image[:])
    np.testing.assert_array_equal(crops.masks, data.masks[:])
    parts = [set(crops.patient[crops.part == number]) for number in range(3)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(set(data.subjects))


def test_a_wait_for_the_gpu_is_told_with_its_place(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def waiting():
        raise RuntimeError("called a synchronizing CUDA operation")

    assert waits(lambda: None) == {"host waits within a step": False}
    told = waits(waiting)
    assert told["host waits within a step"] is True
    assert "in waiting" in told["where"]
    assert modes == ["error", "default"] * 2


def test_memory_is_the_gpu_s(monkeypatch):
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3e6)
    figures: dict[str, float] = {}
    with peak_memory(figures, torch.device("cuda")):
        pass
    assert figures == {"megabytes": 3}
