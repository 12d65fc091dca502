"use strict";
// Replace each static chart by an interactive one when it is about to scroll into view.
(() => {
  const NEAR = "300px";
  const PANEL = 320; // width in pixels of one of several panels, with its axes
  const MARGIN = 64; // width in pixels of a single panel's axis
  // ast: expressions are interpreted, since the page's policy forbids making code from text
  const options = { renderer: "svg", actions: false, tooltip: { theme: "light" }, ast: true };

  /** Run the plotting library's code, once. */
  function load() {
    if (window.vegaEmbed) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("vega").textContent;
    document.head.append(script);
  }

  /**
   * Fit a chart to the available width: a narrower panel, or fewer panels side by side.
   * @param {object} spec - Vega-Lite; changed in place
   * @param {number} room - available width in pixels
   */
  function fit(spec, room) {
    if (spec.concat) {
      spec.columns = Math.max(1, Math.min(spec.columns, Math.floor(room / PANEL)));
    } else {
      spec.width = Math.min(spec.width, Math.max(200, room - MARGIN));
    }
    if (room < 480) spec.config.legend.columns = 1;
  }

  /**
   * Draw a figure's interactive chart; if that fails, the static chart stays.
   * @param {HTMLElement} figure
   */
  async function draw(figure) {
    const place = figure.querySelector(".drawn");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    fit(spec, place.parentElement.clientWidth);
    const fresh = document.createElement("div");
    try {
      load();
      await window.vegaEmbed(fresh, spec, options);
    } catch {
      return;
    }
    place.replaceChildren(fresh);
    place.classList.add("live");
  }

  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: NEAR },
  );
  for (const figure of document.querySelectorAll("figure.chart")) seen.observe(figure);
})();
