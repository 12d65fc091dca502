import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

from probunet.datasets.lidc.config import RELEASED, LidcSource
from probunet.errors import ProbunetError
from probunet.report.labels import NBSP
from probunet.score.table import write_tables
from support.attributes import change_attributes
from support.report.build import report
from support.report.page import Page, prose, section


def test_page_is_well_formed_and_asks_for_nothing_from_elsewhere(study: Any) -> None:
    text = report(study)
    page = Page(text)
    assert page.open == []
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert not re.search(r"url\((?!#)|@import|<link|<script[^>]+src", without_vega(text))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {attributes["href"] for attributes in page.all("use")}
    assert used <= {f"#{name}" for name in ids}
    assert all(image["alt"] for image in page.all("img"))
    assert len(text) < 5_000_000


def test_page_escapes_what_it_is_given(study: Any) -> None:
    text = report(study)
    assert "<h1>A &lt;title&gt; &amp; more</h1>" in text
    assert "CC BY 3.0 &lt;outlines&gt;" in text


def test_page_escapes_control_characters(study: Any) -> None:
    change_attributes(study.store, licence="a\x1b[31m\x00\u202eb")
    text = report(study, title="c\x1bd")
    assert r"a\x1b[31m\x00\u202eb" in text
    assert r"<h1>c\x1bd</h1>" in text
    assert not re.search("[\x00\x1b\u202e]", without_vega(text))


def test_synthetic_data_carry_a_banner(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    banner = "Synthetic phantom data: invented pixels around real outlines."
    assert banner in report(study)
    change_attributes(study.store, synthetic=False)
    assert banner not in report(study)


SOURCES = set(get_args(LidcSource.model_fields["source"].annotation)) - set(RELEASED)


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_where_the_images_come_from_is_told_in_words(study: Any, source: str) -> None:
    change_attributes(study.store, source=source)
    words = {
        "idc": "downloaded from the Imaging Data Commons",
        "local": "an existing tree",
        "phantom": "rendered around the real outlines",
    }
    text = report(study)
    assert f"<dt>Data</dt><dd>source <code>{source}</code>, {words[source]}" in text
    assert "licence: CC BY 3.0 &lt;outlines&gt;" in text


def test_equal_inputs_give_an_equal_file(study: Any) -> None:
    assert report(study) == report(study, runs=study.runs[::-1])


def test_what_was_run_is_told(study: Any) -> None:
    text = report(study)
    for expected in (
        "24 of 8 patients in 8 CT series",
        "the central 128 \N{MULTIPLICATION SIGN} 128 pixels",
        "the four of lowest id",
        "two slices at one z",
        "LIDC-IDRI-0099",
        "GED values do not compare across them",
        "ab" * 32,
        "cd" * 32,
        "title: &lt;&amp;&gt;",
    ):
        assert expected in text


def test_tables_hold_the_summary_s_figures(study: Any) -> None:
    text = report(study)
    summary = pd.read_csv(study.summary)
    for _, row in summary[summary["model"] == "probabilistic_unet"].iterrows():
        cell = (
            f">{row['ged']:.3f} <small>± {row['ged_sd']:.3f}</small>"
            f"<br><small>{row['ged_low']:.3f} to {row['ged_high']:.3f}</small></td>"
        )
        assert cell in text
    best = summary[(summary["n"] == 16) & (summary["model"] == "probabilistic_unet")]
    beta = best.loc[best["ged"].idxmin(), "beta"]
    assert f"<strong>Probabilistic U-Net, β{NBSP}={NBSP}{beta:g}</strong> reaches" in text


def test_further_scores_are_shown_and_explained(study: Any) -> None:
    summary = pd.read_csv(study.summary)
    models = summary["model"] == "probabilistic_unet"
    summary["reconstruction_iou"] = summary["ged"].where(models) / 7
    summary.to_csv(study.summary, index=False)
    text = report(study)
    at_most = summary[summary["n"] == 16]
    for _, row in at_most[at_most["model"] == "probabilistic_unet"].iterrows():
        names = ("max_dice", "ncc", "ece", "reconstruction_iou")
        cells = "".join(f"<td>{row[name]:.3f}</td>" for name in names)
        assert cells.replace("-", "\N{MINUS SIGN}") in unsortable(text)
    overview = unsortable(section(text, "overview"))
    empty = overview.split('scope="row">Always empty</th>')[2].split("</tr>")[0]
    assert re.search(r"<td>\N{EN DASH}</td><td>0\.\d{3}</td><td>\N{EN DASH}</td>$", empty)
    assert "NCC: the correlation over pixels" in text
    assert "ECE: the expected calibration error" in text
    assert "Reconstruction IoU: a grader" in text


def without_vega(text: str) -> str:
    """A page without the library that draws its charts."""
    return re.sub(r'(?s)<script type="text/plain" id="vega">.*?</script>', "", text)


def unsortable(text: str) -> str:
    """A page without the numbers by which its tables are sorted."""
    return re.sub(r' data-value="[^"]*"', "", text)


def against_best(text: str) -> dict[str, tuple[str, bool, str]]:
    """Rows of the paired table by label: difference, whether it is bold, and interval."""
    table = unsortable(section(text, "ged")).split("<table")[2]
    found = re.findall(
        r'scope="row">([^<]+)</th><td>(<strong>)?([^<]+)(?:</strong>)?</td><td>([^<]+)</td>', table
    )
    return {label: (value, bool(bold), span) for label, bold, value, span in found}


def test_pairs_are_bold_only_where_the_interval_excludes_zero(study: Any) -> None:
    best = f"Probabilistic U-Net, β{NBSP}={NBSP}"
    comparison = pd.read_csv(study.comparison)
    at_most = comparison["n"] == 16
    pair = at_most & comparison["other_model"].eq("probabilistic_unet")
    for low, high, difference, apart in (
        (-0.2, 0.1, -0.05, False),
        (-0.2, -0.01, -0.05, True),
        (0.01, 0.2, 0.05, True),
        (0, 0.2, 0.05, False),
    ):
        comparison.loc[pair, ["difference", "low", "high"]] = difference, low, high
        comparison.to_csv(study.comparison, index=False)
        text = report(study)
        found = against_best(text)
        assert list(found)[1:] == [
            f"Deterministic (prior mean), β{NBSP}={NBSP}1",
            f"Deterministic (prior mean), β{NBSP}={NBSP}10",
            "Always empty",
            "The graders themselves",
        ]
        value, bold, _ = found[next(label for label in found if label.startswith(best))]
        assert value.lstrip("\N{MINUS SIGN}") == "0.050"
        assert bold == apart
        overview = section(text, "overview")
        # the best model's own GED is bold where it is clearly below every other model's
        better = apart and value.startswith("\N{MINUS SIGN}")
        assert ("<strong>" in overview.split("<table")[1].split("</table>")[0]) == better
        assert ("No GED is bold" in overview) != better


def test_a_run_without_scores_is_told_beside_the_means(study: Any) -> None:
    assert "no part in the tables" not in report(study)
    files = [run / "scores.parquet" for run in study.runs[1:]]  # without beta 1, fold 0
    write_tables(files, study.scores, study.summary, study.comparison, bootstrap=50)
    overview = section(report(study, figures=study.folder / "figures"), "overview")
    assert "1 of 4 runs has no scores and no part in the tables" in overview
    assert "<li><code>lidc/probabilistic_unet/beta-1/fold-0/seed-0</code></li>" in overview
    assert "Not every row is of all 2 folds" in overview
    noted = re.findall(r'<th scope="row">([^<]+)<br><small>1 of 2 folds</small>', overview)
    own = [
        f"{name}, β{NBSP}={NBSP}1" for name in ("Probabilistic U-Net", "Deterministic (prior mean)")
    ]
    assert noted == own * 7  # in the tables of the other scores, too
    for end in ("csv", "tex"):
        told = (study.folder / f"figures/lidc/overview.{end}").read_text()
        assert told.count("(1 of 2 folds)") == 2


def test_a_pair_reads_from_the_best_model_s_side(study: Any) -> None:
    summary = pd.read_csv(study.summary)
    models = summary[(summary["n"] == 16) & (summary["model"] == "probabilistic_unet")]
    models = models.sort_values("ged")
    label = f"Probabilistic U-Net, β{NBSP}={NBSP}{models['beta'].iloc[1]:g}"
    value, _, _ = against_best(report(study))[label]
    expected = models["ged"].iloc[0] - models["ged"].iloc[1]
    assert value == f"{expected:.3f}".replace("-", "\N{MINUS SIGN}")


def explored(text: str) -> list[dict[str, Any]]:
    """Return the images that the explorer of a page holds."""
    found = re.findall(r'class="explorer-data"[^>]*>(.*?)</script>', text)
    return [image for document in found for image in json.loads(document)["images"]]


def test_the_explorer_holds_as_many_images_as_asked_for(study: Any) -> None:
    assert len(explored(report(study, examples=3))) == 3
    assert "3 of 24 scored test images, as many as were asked for" in report(study, examples=3)
    assert len(explored(report(study, examples=200))) == 24


def test_no_images_asked_for(study: Any) -> None:
    text = report(study, examples=0)
    assert explored(text) == []
    assert "no test images are shown: none were asked for" in text


def test_a_small_file_has_fewer_images_and_says_so(study: Any) -> None:
    whole = len(report(study, examples=200).encode())
    megabytes = (whole - 100_000) / 1e6
    text = report(study, examples=200, megabytes=megabytes)
    assert len(text.encode()) <= 1e6 * megabytes
    assert 0 < len(explored(text)) < 24
    assert "as many as the file" in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("training.jsonl", "no training log"),
        ("samples.zarr", "no samples"),
        ("scores.parquet", "no scores of single images"),
    ],
)
def test_a_missing_piece_is_told(study: Any, name: str, told: str) -> None:
    path = study.runs[0] / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = report(study)
    assert told in text
    assert str(study.folder) not in text
    assert explored(text)


def test_nothing_in_the_runs_folders_is_told(study: Any) -> None:
    for run in study.runs:
        shutil.rmtree(run)
        run.mkdir()
    text = report(study)
    assert "No run has a training log that can be read." in text
    assert "no run holds both samples and scores of the store that was given" in text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text(path.read_text()[:-20] + '{"step": 5, "loss"'),
        lambda path: path.write_text(path.read_text() + '\n[1]\n{"loss": 1}\n"text"\n\n'),
        lambda path: path.write_text(path.read_text() + '{"step": 7, "loss": NaN, "kl": "x"}\n'),
    ],
)
def test_a_damaged_log_still_gives_curves(study: Any, spoil: Callable[[Path], None]) -> None:
    spoil(study.runs[0] / "training.jsonl")
    assert "Lines over training steps" in report(study)


def test_a_log_without_validation_is_told(study: Any) -> None:
    for run in study.runs:
        log = run / "training.jsonl"
        lines = [line for line in log.read_text().splitlines() if "validation" not in line]
        log.write_text("\n".join(lines))
    assert "has no values of validation_ged" in report(study)


def test_samples_of_another_store_are_not_shown(study: Any) -> None:
    for run in study.runs:
        change_attributes(run / "samples.zarr", store="another")
    told = "no run holds both samples and scores of the store that was given"
    assert told in report(study)


@pytest.mark.parametrize("name", ["scores", "summary", "comparison"])
def test_a_missing_or_foreign_table_is_an_error(study: Any, name: str) -> None:
    (study.folder / "other.csv").write_text("a,b\n1,2\n")
    for file in ("absent.csv", "other.csv"):
        with pytest.raises(ProbunetError, match=file):
            report(study, **{name: study.folder / file})
    assert not (study.folder / "report.html").exists()


def test_one_fold_one_n_one_run(study: Any) -> None:
    scores, summary = pd.read_csv(study.scores), pd.read_csv(study.summary)
    scores[(scores["n"] == 4) & (scores["fold"] == 0)].to_csv(study.scores, index=False)
    summary = summary[summary["n"] == 4].assign(folds=1, ged_sd=float("nan"))
    summary.to_csv(study.summary, index=False)
    text = report(study, runs=study.runs[:1])
    assert "±</small>" not in text
    assert not re.search(r"\bnan\b", prose(text), re.IGNORECASE)


def test_runs_scored_at_different_n_leave_a_dash(study: Any) -> None:
    summary = pd.read_csv(study.summary)
    keep = ~((summary["beta"] == 10) & (summary["n"] == 4))
    summary[keep].to_csv(study.summary, index=False)
    assert "<td>\N{EN DASH}</td>" in report(study)


@pytest.mark.parametrize("name", ["samples.zarr", "scores.parquet"])
def test_a_run_in_another_run_s_place_is_refused(study: Any, name: str) -> None:
    first, second = study.runs[:2]
    (second / name).rename(second / "aside")
    (first / name).rename(second / name)
    (second / "aside").rename(first / name)
    with pytest.raises(ProbunetError, match=rf"{name}: belongs to the run .*, but lies in"):
        report(study)


def test_swapped_folders_of_folds_are_refused(study: Any) -> None:
    first, second = study.runs[:2]
    second.rename(second.with_name("aside"))
    first.rename(second)
    second.with_name("aside").rename(first)
    with pytest.raises(ProbunetError, match=r"belongs to the run .*/fold-[01]/.*, but lies in"):
        report(study)


def test_scores_of_other_images_than_the_samples_are_told(study: Any) -> None:
    path = study.runs[0] / "scores.parquet"
    table = pd.read_parquet(path)
    table[table["row"] != table["row"].min()].to_parquet(path)
    assert "no scores of single images: they are of other images than the samples" in report(study)


def test_patients_in_several_test_sets_are_told(study: Any) -> None:
    assert "test sets of several folds" not in report(study)
    first, second = (run / "samples.zarr" for run in study.runs[2:4])
    shutil.rmtree(second)
    shutil.copytree(first, second)
    change_attributes(second, run=str(second.parent.relative_to(study.folder)))
    text = report(study)
    assert "4 patients (such as LIDC-IDRI-0001) are in the test sets of several folds" in text
