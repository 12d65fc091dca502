"""The report of a small study as text."""

from typing import Any

from probunet.report.build import build_report

CONFIG = {"folds": 2, "beta": [1.0, 10.0], "report": {"title": "<&>"}}


def report(study: Any, **changes: Any) -> str:
    output = study.folder / "report.html"
    given = {
        "scores": study.scores,
        "summary": study.summary,
        "comparison": study.comparison,
        "runs": study.runs,
        "stores": [study.store],
        "config": CONFIG,
        "title": "A <title> & more",
        "examples": 4,
    }
    build_report(output, **(given | changes))
    return output.read_text(encoding="utf-8")
