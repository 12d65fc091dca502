"use strict";
/*
 * Tables that can be sorted by any column: the column heads become buttons. Rows without a value are
 * last in both directions; the degenerate predictors stay below the models.
 */
(() => {
  /** Return the value by which a row is sorted: a number, a text, or null. */
  function key(row, column) {
    const cell = row.cells[column];
    if (column === 0) return cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  /** Compare two keys; null is last in both directions. */
  function compare(a, b, direction) {
    if (a === null || b === null) return (a === null) - (b === null);
    return direction * (typeof a === "string" ? a.localeCompare(b) : a - b);
  }

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const apart = (row) => Number(row.classList.contains("degenerate"));
    const rows = [...body.rows].map((row) => [row, apart(row), key(row, column)]);
    rows.sort((a, b) => a[1] - b[1] || compare(a[2], b[2], direction));
    body.append(...rows.map(([row]) => row));
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      if (place !== column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    });
  }

  /** Return whether a column has values to sort by. */
  function sortable(table, column) {
    return [...table.tBodies[0].rows].some((row) => key(row, column) !== null);
  }

  function enhance(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!sortable(table, column)) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        sort(table, column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1);
      });
      head.append(button);
    });
  }

  document.querySelectorAll("table.sortable").forEach(enhance);
})();
