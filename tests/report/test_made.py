import json
import re
from pathlib import Path
from typing import Any

import pytest

from probunet.job import read_jobs
from probunet.report.made import Made, by_verb, cost, read_made
from support.report.build import report
from support.report.logs import RUNS, all_logs, record, tries

NOTHING: dict[str, Any] = {}


def read(study: Any, config: dict[str, Any] = NOTHING) -> Made:
    folder = study.folder.parent
    images = folder / "containers"
    return read_made(study.runs, config, folder / "logs", folder / "benchmarks", images)


def test_every_step_is_named_in_the_order_of_the_workflow(study: Any) -> None:
    made = read(study)
    expected = [("fetch", "lidc"), ("prepare", "lidc"), ("prepare", "lidc.folds")]
    expected += [(verb, run) for verb in ("train", "sample", "score") for run in RUNS]
    expected += [("score", "table"), ("report", "report")]
    assert [(step.verb, step.name) for step in made.steps] == expected
    assert all(step.tries == () for step in made.steps)


def test_members_and_parts_are_steps_of_their_own(study: Any) -> None:
    for number in (0, 1, 10):
        (study.runs[0] / f"member-{number}").mkdir()
    made = read(study, {"prepare": {"jobs": 3}})
    assert [step.name for step in made.steps if step.verb == "prepare"] == [
        "lidc.0-of-3",
        "lidc.1-of-3",
        "lidc.2-of-3",
        "lidc",
        "lidc.folds",
    ]
    assert [step.name for step in made.steps if step.verb == "train"] == [
        f"{RUNS[0]}/member-0",
        f"{RUNS[0]}/member-1",
        f"{RUNS[0]}/member-10",
        *RUNS[1:],
    ]


@pytest.mark.parametrize(
    ("source", "names"),
    [("idc", ["lidc.0-of-2", "lidc.1-of-2", "lidc"]), ("phantom", ["lidc"])],
)
def test_shares_of_a_download_are_steps_of_their_own(
    study: Any, source: str, names: list[str]
) -> None:
    made = read(study, {"fetch": {"jobs": 2}, "datasets": {"lidc": {"source": source}}})
    assert [step.name for step in made.steps if step.verb == "fetch"] == names


def test_last_good_try_is_what_a_step_was_made_by(study: Any) -> None:
    log = study.folder.parent / f"logs/train/{RUNS[0]}.log"
    tries(log, {"exit_code": 75}, {"exit_code": None}, {"host": "good"}, {"exit_code": 1})
    step = next(step for step in read(study).steps if step.tries)
    assert [job.exit_code for job in step.tries] == [75, None, 0, 1]
    assert step.made_by is not None
    assert step.made_by.host == "good"


def test_benchmark_is_that_of_the_last_repeat(study: Any) -> None:
    benchmarks = study.folder.parent / "benchmarks"
    (benchmarks / "score").mkdir(parents=True)
    (benchmarks / "report").mkdir()
    (benchmarks / "score/table.tsv").write_text("s\tmax_rss\n1.5\t-\n2.5\t100\n")
    (benchmarks / "report/report.tsv").write_text("")
    found = {step.verb + step.name: step.benchmark for step in read(study).steps}
    assert found["scoretable"] == {"s": "2.5", "max_rss": "100"}
    assert found["reportreport"] == {}
    assert found["fetchlidc"] == {}


@pytest.mark.parametrize(
    ("container", "commit", "sha256"),
    [
        ("/images/torch.sif", "c0ffee", "5f" * 32),
        ("/images/torch.sif", "another", None),  # built again since
        ("/images/data.sif", "c0ffee", None),
        (None, "c0ffee", None),
    ],
)
def test_image_is_that_of_its_record_unless_built_again(
    tmp_path: Path, container: str | None, commit: str, sha256: str | None
) -> None:
    (job,) = read_jobs(tries(tmp_path / "log", {"container": container, "commit": commit}))
    found = Made((), {"torch": record("torch")}).image_of(job)
    assert (found and found.sha256) == sha256


def test_records_of_images_are_read_and_other_files_passed_over(study: Any) -> None:
    folder = study.folder.parent / "containers"
    folder.mkdir()
    (folder / "torch.json").write_text(record("torch").model_dump_json())
    (folder / "else.json").write_text("{}")
    foreign = record("torch").model_dump() | {"kind": "../../elsewhere"}
    (folder / "foreign.json").write_text(json.dumps(foreign))  # the kind is part of a copy's name
    assert read(study).images == {"torch": record("torch")}


def test_report_says_by_verb_how_runs_were_made(study: Any) -> None:
    logs = study.folder.parent / "logs"
    slurm = {"SLURM_JOB_ID": "12"}
    all_logs(logs, RUNS, slurm=slurm, container="/somewhere/torch.sif")
    (logs / f"train/{RUNS[0]}.log").unlink()
    made = Made(read(study).steps, {"torch": record("torch")})
    text = report(study, made=made)
    section = text[text.index("<h3>How this was made</h3>") :]
    section = section[: section.index("</table>")]
    train, sample, score = section.split("<tr>")[2:]
    assert "<td>4, of which 3 recorded</td>" in train
    assert "<td>4</td>" in sample
    assert "<td>5</td>" in score
    for row in (train, sample, score):
        assert "<code>c0ffee</code>" in row
        assert "SLURM; torch.sif <code>" + "5f" * 32 + "</code>" in row
        assert "numpy 2.4.6, python 3.11.7" in row
        assert "/somewhere" not in row
    assert [row.verb for row in by_verb(made)] == ["train", "sample", "score"]


def test_report_says_in_which_arithmetic_runs_were_trained(study: Any) -> None:
    logs = study.folder.parent / "logs"
    cpu = {"precision": "float32", "device": "cpu", "capability": "AVX512", "threads": 2}
    gpu = {"precision": "bfloat16", "device": "A GPU", "capability": "9.0", "gpu": "A GPU"}
    all_logs(logs, RUNS, **cpu)
    tries(logs / f"train/{RUNS[0]}.log", {"command": "train"} | gpu)
    made = read(study)
    train = by_verb(made)[0]
    assert train.arithmetic == ["bfloat16 on A GPU (9.0)", "float32 on cpu (AVX512, threads: 2)"]
    page = report(study, made=made)
    assert "<td>bfloat16 on A GPU (9.0); float32 on cpu (AVX512, threads: 2); " in page


def test_report_without_logs_says_so(study: Any) -> None:
    assert report(study, made=read(study)).count('<td colspan="3">no record</td>') == 3


def test_of_when_and_where_it_was_made_the_report_depends_in_its_cost_alone(study: Any) -> None:
    logs = study.folder.parent / "logs"
    all_logs(logs, RUNS)
    first = report(study, made=read(study))
    all_logs(logs, RUNS, host="node2", started="2027-01-01T00:00:00+00:00", seconds=99.0)
    again = tries(logs / f"train/{RUNS[0]}.log", {"exit_code": 75}, {"max_rss_mb": 9.0})
    assert len(read_jobs(again)) == 2
    second = report(study, made=read(study))
    assert second != first
    costs = r"(?s)<h3>What it cost</h3>.*?</table>"
    assert re.sub(costs, "", second) == re.sub(costs, "", first)


def test_cost_is_that_of_all_tries(study: Any) -> None:
    logs = study.folder.parent / "logs"
    all_logs(logs, RUNS, seconds=36.0)
    hour = {"seconds": 3600.0, "gpu": "NVIDIA H100"}
    tries(logs / f"train/{RUNS[0]}.log", hour | {"exit_code": 75}, hour)
    (logs / f"train/{RUNS[1]}.log").unlink()
    found = cost(read(study))
    assert found is not None
    train = next(row for row in found.table.rows if row.label == "train")
    numbers = dict(zip(found.table.heads, (cell.value for cell in train.cells), strict=True))
    counts = [numbers[name] for name in ("jobs", "tries", "failed or stopped", "unknown")]
    assert counts == [4, 4, 1, 1]
    assert numbers["GPU hours"] == found.gpu_hours == pytest.approx(2)
    assert numbers["hours"] == pytest.approx(2 + 2 * 0.01)
    others = [row.cells[3].value or 0 for row in found.table.rows if row is not train]
    assert found.hours == pytest.approx(2 + 2 * 0.01 + sum(others))
    assert found.unknown == 1
    assert found.gpus == ["NVIDIA H100"]
    text = report(study, made=read(study))
    assert "<strong>2.0 GPU hours</strong> on NVIDIA H100" in text
    assert "left no record of how long they took" in text


def test_what_a_sample_cost_is_the_median_over_runs_of_a_model_and_device(study: Any) -> None:
    logs = study.folder.parent / "logs"
    all_logs(logs, RUNS)
    assert "What one sample cost" not in report(study, made=read(study))
    cpu = {"device": "cpu", "threads": 2, "sample_gmac": 1685.0}
    for run, seconds in zip(RUNS, (1.0, 3.0, 2.5, None), strict=True):
        one = cpu if seconds is None else cpu | {"sample_seconds": seconds}
        tries(logs / f"sample/{run}.log", {"exit_code": 1, "sample_seconds": 99.0}, one)
    tries(logs / f"sample/{RUNS[1]}.log", cpu | {"gpu": "A GPU", "sample_seconds": 0.25})
    found = cost(read(study))
    assert found is not None
    assert found.samples.heads == ["GMAC", "seconds", "on"]
    rows = [(row.label, *(cell.text for cell in row.cells)) for row in found.samples.rows]
    model = "Probabilistic U-Net, LIDC-IDRI"
    assert rows == [
        (model, "1,685", "0.25", "A GPU"),
        (model, "1,685", "1.75", "cpu, threads: 2"),
    ]
    assert "What one sample cost" in report(study, made=read(study))


def test_without_any_record_there_is_no_cost(study: Any) -> None:
    assert cost(read(study)) is None
    assert "Unknown: no log of any job was found." in report(study, made=read(study))


def test_no_gpu_is_told(study: Any) -> None:
    all_logs(study.folder.parent / "logs", RUNS)
    assert "No GPU was used" in report(study, made=read(study))
