"""What a chart holds."""

from typing import Any

import altair as alt

from probunet.report.charts import Chart

Layers = dict[str, list[dict[str, Any]]]


def layers(chart: Chart) -> Layers:
    """Return the rows of each layer by its name, without the numbers that Altair gives panels."""
    alt.Chart.from_dict(dict(chart.spec))  # raises where the spec is not of the schema
    return _layers(chart.spec, chart.spec["datasets"])


def _layers(spec: Any, data: dict[str, Any]) -> Layers:
    found: Layers = {}
    for part in spec.get("layer", spec.get("concat", [])):
        # of layers of equal data, Altair gives them to what holds the layers
        found |= _layers({"data": spec.get("data")} | part, data)
        if "name" in part:
            rows = part.get("data") or spec["data"]
            found[part["name"].rpartition("_")[0] or part["name"]] = data[rows["name"]]
    return found
