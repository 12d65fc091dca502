import re

import pytest

from probunet.datasets import BUILT_IN, find
from probunet.report.published import published_table


@pytest.mark.parametrize("dataset", list(BUILT_IN))
def test_each_method_has_a_figure_in_each_column_or_a_dash(dataset: str) -> None:
    published = find(dataset).published
    assert published is not None
    table = published_table(find(dataset))
    assert table is not None
    assert table.heads == list(published.heads)
    assert len(table.rows) == len(published.methods)
    for row, method in zip(table.rows, published.methods, strict=True):
        printed = [cell.text + cell.spread.replace(" ", "") for cell in row.cells]
        assert printed == method.figures.replace("-", "\N{EN DASH}").split()
        assert any(cell.value is not None for cell in row.cells)
        for cell in row.cells:
            expected = "\N{EN DASH}" if cell.value is None else f"{cell.value:.3f}"
            assert expected.startswith(cell.text)
        assert len(row.cells) == len(table.heads)
        assert row.note == method.source
        assert not row.degenerate


def test_the_caption_says_what_compares() -> None:
    lidc = find("lidc").published
    assert lidc is not None
    assert re.search(r"v1 compare with columns of v1\s+only", lidc.caption)
    assert published_table(find("mine")) is None
