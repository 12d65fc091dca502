"""The README's numbers are those in the files that `make bench` wrote."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def result(name: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    return loaded


def test_speeds_are_those_measured():
    model, ged, prepare = result("model"), result("ged"), result("prepare")
    step, samples = model["training_step"], model["samples"]
    assert isinstance(step, dict)
    assert isinstance(samples, dict)
    workflow, report = result("workflow"), result("report")
    full, demo = report["full size"], report["demo"]
    assert isinstance(full, dict)
    assert isinstance(demo, dict)
    figures = [
        f"{step['bfloat16']['times_faster']:.1f}x faster in bfloat16",
        f"{step['float32']['times_faster']:.1f}x in float32",
        f"it is {step['bfloat16']['times_faster_than_channels_last_and_autocast']:.1f}x as fast",
        f"{samples['float32']['times_faster']:.1f}x faster; "
        f"{samples['bfloat16']['times_faster']:.1f}x in bfloat16",
        f"{samples['times_slower']:.2f}x the time",
        f"n = 16: {ged['ged_16_seconds']:.1f} s; n = 100: {ged['ged_100_seconds']:.1f} s",
        f"{result('scenes')['score_run_seconds']:.0f} s | 60 s",
        f"{prepare['prepare_over_decode']:.1f}x the time",
        f"{prepare['one_worker_over_two']:.1f}x |",
        f"{full['seconds']:.0f} s, {full['megabytes of memory'] / 1000:.1f} GB |",
        f"{full['megabytes']:.0f} MB with {full['images in the explorer']} of the images, "
        f"first image shown after {full['first picture, s']:.1f} s",
        f"the demonstration's report | {demo['seconds']:.0f} s",
        f"{workflow['prepare --dataset lidc --count, s']:.1f} s",
        f"{workflow['dry run of the full configuration, s']:.1f} s",
    ]
    assert [figure for figure in figures if figure not in README] == []


def test_slowness_beside_a_busy_process_is_that_measured():
    ways = result("shared_machine")["ways"]
    assert isinstance(ways, dict)
    passive, spinning = ways["passive (OMP_WAIT_POLICY)"], ways["spinning (as torch is)"]
    figures = (
        f"| {passive['times slower']:.2f}x the time; {spinning['times slower']:.2f}x if threads "
        f"spin while they wait | {passive['times slower by that share']:.2f}x,"
    )
    assert figures in README


def test_frequencies_are_those_measured():
    flips = result("flips")
    frequencies = flips["flip_frequency"]
    assert isinstance(frequencies, dict)
    for part in ("truth", "samples"):
        row = " | ".join(f"{one[part]:.3f}" for one in frequencies.values())
        assert row in README
    assert f"All {flips['modes_reached']} modes are drawn" in README
    assert f"{flips['ged_16']:.3f}" in README
    assert f"{flips['ged_16_optimum']:.3f}" in README
    assert f"in {flips['training_seconds'] / 60:.0f} minutes" in README


def test_single_masks_in_the_method_are_those_measured():
    masks, method = result("single_masks"), (ROOT / "docs/explanation/method.md").read_text()
    ged = masks["ged"]
    assert isinstance(ged, dict)
    rows = {
        "empty": "empty",
        "one reader's outline, never empty": "one reader's outline, never empty",
        "what more than half of the readers mark": "marked by more than half",
        "the best of all choices that were tried, crop by crop": "the best of these, crop by crop",
    }
    figures = [
        f"on {masks['crops']:,} crops",
        f"$r$ is {masks['share_of_readers_with_an_outline']:.3f}",
        f"{masks['iou_at_which_a_mask_that_is_never_empty_equals_an_empty_one']:.3f}. Two readers'",
        f"a mean IoU of {masks['iou_between_two_outlines']:.3f}",
        *(
            f"| {row} | " + " | ".join(f"{value:.3f}" for value in ged[name].values()) + " |"
            for row, name in rows.items()
        ),
    ]
    assert [figure for figure in figures if figure not in method] == []


def test_files_that_it_names_exist():
    pictures = ["docs/demo.png", "docs/scenes.png"]
    for name in [
        *pictures,
        "docs/explanation/differences.md",
        "docs/explanation/architecture.md",
        "docs/how-to/cluster.md",
        "docs/how-to/fetching.md",
        "CITATION.cff",
    ]:
        assert name in README
        assert (ROOT / name).is_file()
