import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from probunet.errors import ProbunetError
from probunet.metrics.reported import COLUMNS, OF_IMAGES, PRESENCE_BINS
from probunet.metrics.risk_coverage import aurc, excess_aurc
from probunet.score import table as module
from probunet.score.table import BINS, FURTHER, OVER_IMAGES, SCORES, write_tables
from probunet.scores import ABOUT, LATER
from probunet.seeding import numpy_generator

BOOTSTRAP = 50


def run_scores(
    fold: int, seed: int, beta: float = 1.0, model: str = "probabilistic_unet"
) -> pd.DataFrame:
    """Scores of 6 images of 3 patients of one run, as `score_run` writes them."""
    rows = np.arange(6) + 10 * fold
    tables = []
    for predictor in ("model", "deterministic", "empty", "graders"):
        shared = predictor in ("empty", "graders")
        random = numpy_generator(0 if shared else seed, f"{predictor}{beta * (not shared)}", fold)
        for n in (1, 4):
            columns = pd.Index([*SCORES, *FURTHER])
            table = pd.DataFrame(random.random((6, len(columns))), columns=columns)
            if n == 1:
                table[["ged_unbiased", "ncc"]] = np.nan
            for names in (BINS, PRESENCE_BINS):
                pixels = random.integers(1, 100, (6, 10))
                predicted = (pixels * (np.arange(10) + random.random((6, 10))) / 10).round(6)
                for name, bins in zip(
                    names, (pixels, predicted, random.integers(0, pixels + 1)), strict=True
                ):
                    table[name] = list(bins)
            patient = [f"P{fold}{i}" for i in (0, 0, 0, 1, 2, 2)]
            tables.append(table.assign(row=rows, subject=patient, n=n, predictor=predictor))
    about = {"protocol": "kohl2018", "split": "patients"}
    run = {"model": model, "beta": beta, "fold": fold, "seed": seed}
    return pd.concat(tables).assign(dataset="lidc", **run, **about)


@pytest.fixture
def runs():
    return [
        run_scores(fold, seed, beta) for beta in (1.0, 10.0) for fold in (0, 1) for seed in (0, 1)
    ]


def write(runs: list[pd.DataFrame], folder: Path) -> list[Path]:
    paths = [folder / f"{number}.parquet" for number in range(len(runs))]
    for path, run in zip(paths, runs, strict=True):
        run.to_parquet(path)
    return paths


def write_all(scores: list[Path], folder: Path) -> list[Path]:
    """Write the three tables into a folder and return them."""
    tables = [folder / f"{name}.csv" for name in ("scores", "summary", "comparison")]
    write_tables(scores, *tables, BOOTSTRAP)
    return tables


@pytest.fixture
def tables(runs, tmp_path):
    write_all(write(runs, tmp_path), tmp_path)
    return pd.read_csv(tmp_path / "scores.csv"), pd.read_csv(tmp_path / "summary.csv")


def test_every_run_and_n_has_a_row(tables):
    scores, summary = tables
    columns = ["dataset", "model", "beta", "fold", "seed", "n"]
    last = [*FURTHER, *OVER_IMAGES, *ABOUT]
    assert list(scores) == [*columns, *SCORES, "images", "subjects", *last]
    assert list(summary) == [
        *["dataset", "model", "beta", "n", "folds", "ged", "ged_sd", "ged_low", "ged_high"],
        *[*SCORES[1:], "images", "subjects", *last],
    ]
    counts = scores["model"].value_counts().to_dict()
    assert counts == {"probabilistic_unet": 16, "deterministic": 16, "empty": 4, "graders": 4}
    assert not scores.duplicated(columns).any()
    assert (
        scores.loc[scores["model"].isin(["empty", "graders"]), ["beta", "seed"]]
        .isna()
        .all(axis=None)
    )
    assert (scores["images"] == 6).all()
    assert (scores["subjects"] == 3).all()


def test_a_row_is_the_mean_over_images(tables, runs):
    scores, _ = tables
    for run in runs:
        for predictor in ("model", "deterministic"):
            name = run["model"].iloc[0] if predictor == "model" else predictor
            chosen = scores[
                (scores["model"] == name)
                & (scores["beta"] == run["beta"].iloc[0])
                & (scores["fold"] == run["fold"].iloc[0])
                & (scores["seed"] == run["seed"].iloc[0])
                & (scores["n"] == 4)
            ]
            images = run[(run["predictor"] == predictor) & (run["n"] == 4)]
            means = [*SCORES, "ncc", "reconstruction_iou"]
            np.testing.assert_allclose(chosen[means].iloc[0], images[means].mean(), atol=1e-6)
            pixels, predicted, marked = (np.stack(images[name].tolist()) for name in BINS)
            gap = np.abs(predicted.sum(axis=0) - marked.sum(axis=0)).sum()
            assert chosen["ece"].iloc[0] == pytest.approx(gap / pixels.sum(), abs=1e-6)


def test_scores_of_older_versions_have_blanks_in_later_columns(tables, runs, tmp_path):
    later = [*LATER, *(column.name for column in COLUMNS)]
    old = [run.drop(columns=[*LATER, *OF_IMAGES, *PRESENCE_BINS]) for run in runs]
    (tmp_path / "old").mkdir()
    scores, summary, _ = write_all(write(old, tmp_path / "old"), tmp_path / "old")
    for found, path in zip(tables, (scores, summary), strict=True):
        again = pd.read_csv(path)
        assert again[later].isna().all(axis=None)
        pd.testing.assert_frame_equal(again.drop(columns=later), found.drop(columns=later))


@pytest.mark.parametrize("name", ["protocol", "split"])
def test_runs_of_two_protocols_or_splits_are_in_no_one_mean(runs, tmp_path, name):
    runs[1][name] = "hpunet"
    with pytest.raises(ProbunetError, match=f"lidc are of different {name}s: hpunet, .*compare"):
        write_all(write(runs, tmp_path), tmp_path)
    runs[1][name] = ""  # not known, as of an older version
    scores, summary, _ = write_all(write(runs, tmp_path), tmp_path)
    for table in (pd.read_csv(scores), pd.read_csv(summary)):
        assert (table["protocol"] == "kohl2018").all()
        assert (table["split"] == "patients").all()


def test_summary_is_mean_and_sd_over_folds(tables):
    scores, summary = tables
    assert len(summary) == 2 * (2 + 2 + 1 + 1)
    assert (summary["folds"] == 2).all()
    assert (summary["images"] == 12).all()
    assert (summary["subjects"] == 6).all()
    for _, row in summary.iterrows():
        same = scores[(scores["model"] == row["model"]) & (scores["n"] == row["n"])]
        same = same[same["beta"].eq(row["beta"]) | same["beta"].isna()]
        folds = same.groupby("fold")["ged"].mean()
        assert row["ged"] == pytest.approx(folds.mean(), abs=2e-6)
        assert row["ged_sd"] == pytest.approx(folds.std(ddof=1), abs=2e-6)
        assert row["ged_low"] <= row["ged"] <= row["ged_high"]
        if row["n"] == 1:
            assert np.isnan(row["ncc"])
        else:
            ncc = same.groupby("fold")["ncc"].mean().mean()
            assert row["ncc"] == pytest.approx(ncc, abs=2e-6)
        rebuilt = same.groupby("fold")["reconstruction_iou"].mean().mean()
        assert row["reconstruction_iou"] == pytest.approx(rebuilt, abs=2e-6)


def test_ece_of_the_summary_pools_the_pixels_of_a_fold(tables, runs):
    _, summary = tables
    images = pd.concat(runs)
    images = images[(images["predictor"] == "model") & (images["beta"] == 1) & (images["n"] == 4)]
    by_fold = []
    for fold in (0, 1):  # both seeds
        chosen = images[images["fold"] == fold]
        pixels, predicted, marked = (np.stack(chosen[name].tolist()) for name in BINS)
        gap = np.abs(predicted.sum(axis=0) - marked.sum(axis=0)).sum()
        by_fold.append(gap / pixels.sum())
    row = summary[
        (summary["model"] == "probabilistic_unet") & (summary["beta"] == 1) & (summary["n"] == 4)
    ]
    assert row["ece"].tolist() == [pytest.approx(np.mean(by_fold), abs=1e-6)]


def test_ece_of_presence_pools_the_images_of_a_run(tables, runs):
    scores, _ = tables
    images = runs[0][(runs[0]["predictor"] == "model") & (runs[0]["n"] == 4)]
    graders, predicted, marked = (np.stack(images[name].tolist()) for name in PRESENCE_BINS)
    gap = np.abs(predicted.sum(axis=0) - marked.sum(axis=0)).sum()
    row = scores.query("model == 'probabilistic_unet' and beta == 1 and fold == 0 and n == 4")
    expected = pytest.approx(gap / graders.sum(), abs=1e-6)
    assert row[row["seed"] == 0]["presence_ece"].item() == expected


@pytest.mark.parametrize("of", ["entropy", "mutual_information"])
def test_areas_under_curves_are_of_all_images_of_a_run(tables, runs, of):
    scores, summary = tables
    by_fold: dict[int, list[float]] = {0: [], 1: []}
    for run in runs:
        images = run[(run["predictor"] == "model") & (run["n"] == 4)]
        beta, fold, seed = (run[name].iloc[0] for name in ("beta", "fold", "seed"))
        row = scores[(scores["model"] == "probabilistic_unet") & (scores["n"] == 4)]
        row = row[(row["beta"] == beta) & (row["fold"] == fold) & (row["seed"] == seed)]
        risk, uncertainty = 1 - images["mean_dice"].to_numpy(), images[of].to_numpy()
        for name, area in (("aurc", aurc), ("e_aurc", excess_aurc)):
            expected = area(risk, uncertainty)
            assert row[f"{name}_{of}"].item() == pytest.approx(expected, abs=1e-6)
        if beta == 1:
            by_fold[fold].append(aurc(risk, uncertainty))
    means = summary.query("model == 'probabilistic_unet' and beta == 1 and n == 4")
    expected = np.mean([np.mean(values) for values in by_fold.values()])
    assert means[f"aurc_{of}"].item() == pytest.approx(expected, abs=1e-6)
    shared = scores[(scores["model"] == "empty") & (scores["n"] == 4)]
    assert shared[f"aurc_{of}"].notna().all()


def test_runs_without_an_uncertainty_have_no_area_and_leave_that_of_others(runs, tmp_path):
    runs[0]["mutual_information"] = np.nan
    scores, summary, _ = write_all(write(runs[:2], tmp_path), tmp_path)  # two seeds of a fold
    table = pd.read_csv(scores).query("model == 'probabilistic_unet' and n == 4")
    assert table["aurc_mutual_information"].isna().tolist() == [True, False]
    found = pd.read_csv(summary).query("model == 'probabilistic_unet' and n == 4")
    expected = table["aurc_mutual_information"].iloc[1]
    assert found["aurc_mutual_information"].item() == pytest.approx(expected, abs=1e-6)


def test_interval_is_that_of_a_bootstrap_written_out(tables, runs):
    _, summary = tables
    images = pd.concat(runs)
    images = images[(images["predictor"] == "model") & (images["beta"] == 10) & (images["n"] == 4)]
    fold_means = []
    for fold in (0, 1):
        patients = [f"P{fold}{i}" for i in range(3)]
        times = numpy_generator(0, f"bootstrap/lidc/fold-{fold}").multinomial(
            3, [1 / 3] * 3, BOOTSTRAP
        )
        means = []
        for draw in times:
            values: list[float] = []
            for patient, count in zip(patients, draw, strict=True):
                values += list(images.loc[images["subject"] == patient, "ged"]) * int(count)
            means.append(np.mean(values))
        fold_means.append(means)
    low, high = np.percentile(np.mean(fold_means, axis=0), [2.5, 97.5])
    row = summary[
        (summary["model"] == "probabilistic_unet") & (summary["beta"] == 10) & (summary["n"] == 4)
    ]
    assert row[["ged_low", "ged_high"]].to_numpy().tolist() == [
        [pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6)]
    ]


def test_tables_do_not_depend_on_the_order_of_runs(runs, tmp_path):
    written = []
    for name, order in (("a", runs), ("b", runs[::-1])):
        (tmp_path / name).mkdir()
        made = write_all(write(order, tmp_path / name), tmp_path / name)
        written.append([table.read_bytes() for table in made])
    assert written[0] == written[1]


def test_the_images_of_one_run_at_a_time_are_in_memory(runs, tmp_path, monkeypatch):
    read, before = module._read, []

    def watched(path: Path) -> pd.DataFrame:
        alive = sum(images() is not None for images in before)
        assert alive <= 1, "the one that is still bound to the loop's name, and no other"
        found = read(path)
        before.append(weakref.ref(found))
        return found

    monkeypatch.setattr(module, "_read", watched)
    write_all(write(runs, tmp_path), tmp_path)
    assert len(before) == len(runs)


def test_what_is_kept_of_a_run_does_not_grow_with_its_images(tmp_path):
    def many(seed: int, times: int) -> pd.DataFrame:
        parts = [
            run_scores(0, seed).assign(row=lambda t, k=k: t["row"] + 6 * k) for k in range(times)
        ]
        return pd.concat(parts)

    def kept(times: int) -> list[int]:
        folder = tmp_path / str(times)
        folder.mkdir()
        tables = module._totals(write([many(seed, times) for seed in (0, 1)], folder))
        return [found.size for found in tables]

    assert kept(1) == kept(5)


def test_a_score_that_some_images_lack_is_the_mean_of_the_others(tmp_path):
    run = run_scores(0, 0)
    model = (run["predictor"] == "model") & (run["n"] == 4)
    run.loc[model & (run["row"] < 2), "hm_iou"] = np.nan
    run.loc[model & (run["row"] == 5), "ged"] = np.nan  # which is left out altogether
    write_all(write([run], tmp_path), tmp_path)
    left = run[model & run["ged"].notna()]
    for name in ("scores.csv", "summary.csv"):
        found: Any = pd.read_csv(tmp_path / name).query("model == 'probabilistic_unet' and n == 4")
        assert found["images"].item() == 5
        for score in ("ged", "hm_iou", "ncc"):
            assert found[score].item() == pytest.approx(left[score].mean(), abs=1e-6)


def test_deterministic_rows_say_whose_they_are(tmp_path):
    models = ["unet", "probabilistic_unet", "image2image_vae"]
    runs = [run_scores(0, seed, model=model) for seed, model in enumerate(models)]
    tables = [tmp_path / name for name in ("s.csv", "m.csv", "c.csv")]
    write_tables(write(runs, tmp_path), *tables, BOOTSTRAP)
    scores = pd.read_csv(tables[0])
    at_4 = scores[scores["n"] == 4]
    assert at_4["model"].tolist() == [
        *sorted(models),
        "deterministic",
        "deterministic (image2image_vae)",
        "deterministic (unet)",
        "empty",
        "graders",
    ]
    for model, run in zip(models, runs, strict=True):
        name = f"deterministic ({model})" if model != "probabilistic_unet" else "deterministic"
        own = run[(run["predictor"] == "deterministic") & (run["n"] == 4)]
        found = at_4.loc[at_4["model"] == name, "ged"].item()
        assert found == pytest.approx(own["ged"].mean(), abs=1e-6)


def test_one_fold_has_no_sd(tmp_path):
    paths = write([run_scores(0, 0)], tmp_path)
    write_all(paths, tmp_path)
    assert pd.read_csv(tmp_path / "summary.csv")["ged_sd"].isna().all()


def test_no_negative_zero_is_printed(tmp_path):
    run = run_scores(0, 0).assign(ged=-1e-12)
    for table in write_all(write([run], tmp_path), tmp_path):
        assert not re.search(r"-0\.0+\b", table.read_text())


def test_a_run_given_twice_is_refused(tmp_path):
    paths = write([run_scores(0, 0), run_scores(0, 0)], tmp_path)
    with pytest.raises(ProbunetError, match=r"lidc/probabilistic_unet/beta-1/fold-0.*twice"):
        write_all(paths, tmp_path)


@pytest.mark.parametrize("change", ["fewer images", "other masks"])
def test_runs_of_a_fold_on_different_images_are_refused(tmp_path, change):
    other = run_scores(0, 1)
    if change == "fewer images":
        other = other[other["row"] != 0]
    else:
        other["ged"] += 0.1
    paths = write([run_scores(0, 0), other], tmp_path)
    with pytest.raises(ProbunetError, match="different images"):
        write_all(paths, tmp_path)
    assert not (tmp_path / "scores.csv").exists()


def test_what_is_not_a_table_of_scores_is_refused(tmp_path):
    text = tmp_path / "scores.parquet"
    text.write_text("not Parquet")
    columns = tmp_path / "columns.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(columns)
    for path in (text, columns, tmp_path / "absent.parquet"):
        with pytest.raises(ProbunetError, match=path.name):
            write_all([path], tmp_path)
    with pytest.raises(ProbunetError, match="no scores: name"):
        write_all([], tmp_path)
