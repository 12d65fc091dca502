from pathlib import Path
from typing import Any

import numpy as np

from probunet.metrics.reported import PRESENCE_BINS
from probunet.report.runs import read_run
from probunet.run import Run
from probunet.scores import BINS, read_scores, write_scores


def log(folder: Path, loss: float) -> None:
    folder.mkdir(parents=True)
    (folder / "training.jsonl").write_text(
        f'{{"step": 1, "loss": {loss}, "kl": 0.0, "validation_ged": 1.0}}\n'
    )


def test_an_ensemble_s_logs_are_its_members_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / Run("lidc", "unet_ensemble", 1.0, 0, 0).folder
    for member in (10, 2, 0):
        log(folder / f"member-{member}", member)
    found = read_run(folder)
    assert [one["loss"].loc[1] for one in found.training] == [0, 2, 10]
    assert not any("training" in one for one in found.missing)


def test_a_member_without_a_log_is_told(tmp_path: Path) -> None:
    folder = tmp_path / Run("lidc", "unet_ensemble", 1.0, 0, 0).folder
    log(folder / "member-0", 5)
    (folder / "member-1").mkdir()
    found = read_run(folder)
    assert len(found.training) == 1
    told = "no training log: member-1/training.jsonl: No such file or directory"
    assert told in found.missing


def test_a_run_of_one_network_has_one_log(tmp_path: Path) -> None:
    folder = tmp_path / Run("lidc", "unet", 1.0, 0, 0).folder
    log(folder, 3)
    assert [one["loss"].loc[1] for one in read_run(folder).training] == [3]


def test_a_training_that_stopped_is_read_from_its_checkpoint_and_told(tmp_path: Path) -> None:
    folder = tmp_path / Run("lidc", "unet", 1.0, 0, 0).folder
    log(folder, 3)
    assert read_run(folder).stopped == (None,)
    (folder / "checkpoint").mkdir()
    (folder / "training.jsonl").rename(folder / "checkpoint" / "training.jsonl")
    found = read_run(folder)
    assert found.stopped == (1,)
    assert found.training[0]["loss"].loc[1] == 3
    assert "training.jsonl: the training stopped at step 1 and is not finished" in found.missing


def test_only_the_scores_that_are_shown_are_kept_of_a_run(study: Any) -> None:
    whole = read_scores(study.runs[0] / "scores.parquet")
    found = read_run(study.runs[0]).scores
    assert found is not None
    assert set(found["predictor"]) == {"model"}
    assert set(found["n"]) == {whole["n"].max()}
    assert found["row"].tolist() == whole["row"].unique().tolist()
    assert set(whole) - set(found) == {*BINS, *PRESENCE_BINS}
    graders = whole[(whole["predictor"] == "graders") & (whole["n"] == whole["n"].max())]
    assert found["grader_diversity"].tolist() == graders["diversity"].tolist()


def test_bins_of_all_images_are_kept_as_their_sums(study: Any) -> None:
    whole = read_scores(study.runs[0] / "scores.parquet")
    model = whole[(whole["predictor"] == "model") & (whole["n"] == whole["n"].max())]
    found = read_run(study.runs[0])
    for bins, names in ((found.pixels, BINS), (found.presence, PRESENCE_BINS)):
        assert bins is not None
        for name, of in zip(names, (bins.pixels, bins.predicted, bins.marked), strict=True):
            np.testing.assert_allclose(of, np.sum(model[name].tolist(), axis=0))


def test_scores_without_the_model_s_are_told(study: Any) -> None:
    path = study.runs[0] / "scores.parquet"
    scores = read_scores(path)
    write_scores(path, scores[scores["predictor"] != "model"])
    found = read_run(study.runs[0])
    assert found.scores is None
    assert "no scores of single images: none is the model's" in found.missing
