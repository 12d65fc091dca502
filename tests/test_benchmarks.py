"""The benchmarks of models run where there is nothing but torch and NumPy."""

import json

import pytest

from support.torch_alone import run_with_torch_alone


@pytest.mark.parametrize("name", ["model", "flips", "accelerator"])
def test_a_model_s_benchmark_needs_torch_and_numpy_only(name):
    run_with_torch_alone(f"import {name}")


@pytest.mark.parametrize("bfloat16", [True, False])
def test_steps_and_samples_are_compared_with_the_usual_ones(tmp_path, bfloat16):
    words = ["", "--batch", "1", "--side", "16", "--rounds", "1", "--clock", "processor"]
    words += ["--threads", "1", "--json", str(tmp_path / "found.json")]
    run_with_torch_alone(
        f"import model; model.has_bfloat16 = lambda device: {bfloat16}; sys.argv = {words}; "
        "model.main()"
    )
    found = json.loads((tmp_path / "found.json").read_text())
    for part in (found["training_step"], found["samples"]):
        precisions = {"float32", "bfloat16"} & part.keys()
        assert precisions == ({"float32", "bfloat16"} if bfloat16 else {"float32"})
        for name in precisions:
            assert part[name]["seconds"] > 0
            assert part[name]["times_faster"] > 0
            assert part[name]["times_faster_than_channels_last_and_autocast"] > 0
        assert part["usual"]["seconds"] > 0
        assert part["usual, channels_last and autocast"]["seconds"] > 0
    assert (found["side"], found["clock"]) == (16, "processor")
    assert found["samples"]["times_slower"] > 0
