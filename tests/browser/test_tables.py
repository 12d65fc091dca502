"""Tables are sorted by each column, both ways, by mouse and by keyboard."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from .opened import NARROW, WIDE, opened
from .whole import open_all

pytestmark = pytest.mark.browser
# a column's values and whether the row is no model's, in the order of the rows
COLUMN = """(table, column) => [...table.tBodies[0].rows].map((row) => {
  const cell = row.cells[column];
  const value = column === 0 ? cell.textContent : cell.dataset.value;
  return [row.classList.contains("degenerate"), value ?? null];
})"""

# away from what stays at the edges: the first column and, at the top, the page's contents
MIDDLE = "(one) => one.scrollIntoView({ block: 'center', inline: 'center' })"


@pytest.mark.parametrize("key", ["Enter", "Space", "click"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_column_of_every_table_is_sorted(
    browser: Browser, demo: Path, size: tuple[int, int], key: str
) -> None:
    columns = 0
    with opened(browser, demo, size) as seen:
        open_all(seen.page)
        for table in seen.page.locator("table.sortable").all():
            for button in table.locator("thead button").all():
                column = button.evaluate("(one) => one.closest('th').cellIndex")
                for direction in ("ascending", "descending"):
                    if key == "click":
                        button.evaluate(MIDDLE)
                        button.click()
                    else:
                        button.press(key)
                    expect(button.locator("xpath=ancestor::th")).to_have_attribute(
                        "aria-sort", direction
                    )
                    assert_sorted(table, column, direction)
                assert table.locator("[aria-sort]").count() == 1
                columns += 1
        assert columns > 10
        seen.assert_calm()


def test_sorting_moves_whole_rows(browser: Browser, demo: Path) -> None:
    with opened(browser, demo) as seen:
        rows = seen.page.locator("#overview-cityscapes ~ .scroll table.sortable").first.locator(
            "tbody tr"
        )
        before = rows.all_inner_texts()
        assert len(before) > 5
        button = seen.page.locator("#overview-cityscapes ~ .scroll table.sortable").first.locator(
            "thead button"
        )
        button.nth(2).click()
        after = rows.all_inner_texts()
        assert after != before
        assert sorted(after) == sorted(before)


def assert_sorted(table: Locator, column: int, direction: str) -> None:
    """Models stand above what is none, in order; what has no value is last."""
    cells = table.evaluate(COLUMN, column)
    assert [apart for apart, _ in cells] == sorted(apart for apart, _ in cells)
    for kind in (False, True):
        values = [value for apart, value in cells if apart is kind]
        there = [value for value in values if value is not None]
        assert values == there + [None] * (len(values) - len(there))
        keys = [value if column == 0 else float(value) for value in there]
        if column:
            assert keys == sorted(keys, reverse=direction == "descending")
        else:
            in_order = table.evaluate(
                "(_, texts) => texts.toSorted((a, b) => a.localeCompare(b))", keys
            )
            assert keys == (in_order[::-1] if direction == "descending" else in_order)
