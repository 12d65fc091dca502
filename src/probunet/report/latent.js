"use strict";
/*
 * The latent space: enlarge the segmentation under the pointer, or the one chosen with the arrow
 * keys, over the other half of the grid, with its position in standard deviations of the prior.
 */
(() => {
  /** Return an SVG element with these attributes. */
  function svg(name, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  /** Return a number of standard deviations as text, with its sign. */
  function sigmas(value) {
    const rounded = Math.round(value * 100) / 100;
    return `${rounded > 0 ? "+" : rounded < 0 ? "\u2212" : ""}${Math.abs(rounded)}\u00a0σ`;
  }

  /** Make the cells of one figure's grid enlargeable. */
  function enlargeable(figure) {
    const grid = figure.querySelector("svg");
    const cells = Number(figure.dataset.cells);
    const aspect = Number(figure.dataset.aspect);
    const step = Number(figure.dataset.step);
    const [across, upwards] = figure.dataset.directions.split(" ");
    const middle = (cells - 1) / 2;
    let chosen = null; // [column, row], row 0 at the top

    const frame = svg("rect", { class: "chosen", width: aspect, height: 1 });
    const panel = document.createElement("div");
    panel.className = "enlarged";
    panel.hidden = true;
    const place = document.createElement("output");

    /** Return a copy of a cell as a separate SVG. */
    function drawing(column, row) {
      const own = figure.querySelectorAll("svg.cell")[row * cells + column];
      if (own) {
        const copy = own.cloneNode(true);
        for (const name of ["x", "y", "width", "height"]) copy.removeAttribute(name);
        return copy;
      }
      const copy = svg("svg", { viewBox: `${column * aspect} ${row} ${aspect} 1` });
      copy.append(grid.querySelector("image").cloneNode());
      return copy;
    }

    function show(column, row) {
      if (chosen && chosen[0] === column && chosen[1] === row) return;
      chosen = [column, row];
      frame.setAttribute("x", column * aspect);
      frame.setAttribute("y", row);
      grid.append(frame);
      place.textContent =
        `dimension ${across}: ${sigmas((column - middle) * step)}, ` +
        `dimension ${upwards}: ${sigmas((middle - row) * step)}`;
      const large = drawing(column, row);
      large.setAttribute("aria-hidden", "true");
      panel.replaceChildren(large, place);
      panel.classList.toggle("right", column < cells / 2);
      panel.hidden = false;
    }

    function hide() {
      chosen = null;
      panel.hidden = true;
      frame.remove();
    }

    function follow(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(
        grid.getScreenCTM().inverse(),
      );
      const column = Math.floor(at.x / aspect);
      const row = Math.floor(at.y);
      const inside = column >= 0 && row >= 0 && column < cells && row < cells;
      if (inside) show(column, row);
      else hide();
    }

    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

    function walk(event) {
      const by = steps[event.key];
      if (by) {
        const [column, row] = chosen ?? [Math.floor(middle), Math.floor(middle)];
        const within = (value) => Math.min(Math.max(value, 0), cells - 1);
        show(within(column + by[0]), within(row + by[1]));
        event.preventDefault();
      } else if (event.key === "Escape") hide();
    }

    const stage = figure.querySelector(".stage");
    stage.append(panel);
    stage.tabIndex = 0;
    stage.setAttribute("role", "group");
    stage.setAttribute("aria-roledescription", "grid of segmentations");
    stage.setAttribute("aria-label", figure.dataset.label);
    stage.addEventListener("pointermove", follow);
    stage.addEventListener("pointerdown", follow);
    stage.addEventListener("pointerleave", hide);
    stage.addEventListener("keydown", walk);
    stage.addEventListener("focus", () => {
      if (!chosen && stage.matches(":focus-visible")) show(Math.floor(middle), Math.floor(middle));
    });
    stage.addEventListener("blur", hide);
  }

  document.querySelectorAll("figure.latent").forEach(enlargeable);
})();
