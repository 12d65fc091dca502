from pathlib import Path

from probunet.report.runs import read_run
from probunet.run import Run


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
