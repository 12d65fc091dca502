"use strict";
// Puts interactive charts in the place of the drawn ones, when they come near.
(() => {
  const NEAR = "300px";
  const PANEL = 320; // pixels that one of several panels takes with its axes
  const MARGIN = 64; // pixels that the axis of a single panel takes
  const options = { renderer: "svg", actions: false, tooltip: { theme: "light" }, ast: false };

  /** Runs the text of the plotting library, at most once. */
  function load() {
    if (window.vegaEmbed) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("vega").textContent;
    document.head.append(script);
  }

  /**
   * Fits a chart to the room there is: a narrower panel, or fewer panels side by side.
   * @param {object} spec Vega-Lite, which is changed
   * @param {number} room pixels
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
   * Draws a figure's chart anew; what was drawn stays if it cannot be.
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
    } catch (error) {
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
