import re

import pytest

from probunet.report.published import CAPTION, FIGURES, HEADS, published


@pytest.mark.parametrize("dataset", list(FIGURES))
def test_each_method_has_a_figure_in_each_column_or_a_dash(dataset: str) -> None:
    table = published(dataset)
    assert table is not None
    assert table.heads == list(HEADS[dataset])
    assert len(table.rows) == len(FIGURES[dataset])
    for row, given in zip(table.rows, FIGURES[dataset], strict=True):
        assert [cell.value for cell in row.cells] == list(given.figures)
        assert any(cell.value is not None for cell in row.cells)
        for cell in row.cells:
            expected = "\N{EN DASH}" if cell.value is None else f"{cell.value:.3f}"
            assert expected.startswith(cell.text)
        assert row.note  # where it is from
        assert not row.degenerate


def test_what_compares_is_said() -> None:
    assert re.search(r"v1 compare with columns of v1\s+only", CAPTION["lidc"])
    assert published("mine") is None
