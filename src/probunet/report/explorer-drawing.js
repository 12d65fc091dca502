/*
 * Drawing: the picture with its grey-value window, and the layers over it, large and as thumbnails.
 */

const MARGIN = 10; // pixels around all masks in the enlarged view
const LEAST = 48; // smallest side of the enlarged view, in pixels
const SAMPLE = "#2ee6a8";
// a line for each grader, from the widest to the thinnest; report.css has the same colours
const TRUTHS = [
  { colour: "#e69f00", dash: [], width: 3 },
  { colour: "#56b4e9", dash: [7, 4], width: 2.6 },
  { colour: "#f0e442", dash: [2, 3], width: 2.2 },
  { colour: "#cc79a7", dash: [9, 3, 2, 3], width: 1.8 },
  { colour: "#d55e00", dash: [1, 2], width: 1.8 },
  { colour: "#009e73", dash: [12, 4], width: 1.8 },
  { colour: "#0072b2", dash: [5, 2, 1, 2, 1, 2], width: 1.8 },
  { colour: "#bbbbbb", dash: [4, 2], width: 1.8 },
];
// scales of shares and entropies, by kind of data
const SCALES = {
  masks: {
    greatest: 1,
    text: "means: share of masks that hold the pixel, 0 to 1; entropy of the samples: 0 to 1 bit",
  },
  classes: { greatest: 2, text: "entropy of the samples, 0 to 2 bits and more" },
  labels: { greatest: 2, text: "entropy of the samples, 0 to 2 bits and more" },
};

/** Return the bounding box of all masks of all runs: left, top, right, bottom; or undefined. */
function boxOf(item) {
  const boxes = [item.box, ...Object.values(item.runs).map((run) => run.box)].filter(Boolean);
  if (!boxes.length) return undefined;
  const all = (k, pick) => pick(...boxes.map((box) => box[k]));
  return [all(0, Math.min), all(1, Math.min), all(2, Math.max), all(3, Math.max)];
}

/** Return height and width of an image, pixels: its own, or those of all images of the data set. */
const extentOf = (item) => item.size ?? state.data.size;

/** Return left, top, width and height of the visible part of the picture. */
function viewOf(item) {
  const [height, width] = extentOf(item);
  const box = state.enlarged ? boxOf(item) : undefined;
  if (!box) return [0, 0, width, height];
  const side = Math.max(box[2] - box[0] + 2 * MARGIN, box[3] - box[1] + 2 * MARGIN, LEAST);
  const span = (low, high, whole) => {
    const length = Math.min(side, whole);
    const start = Math.round((low + high - length) / 2);
    return [Math.min(Math.max(start, 0), whole - length), length];
  };
  const [left, across] = span(box[0], box[2], width);
  const [top, down] = span(box[1], box[3], height);
  return [left, top, across, down];
}

/** Return the picture with its grey-value window applied; computed once for each window. */
function pictureOf() {
  const { scale } = state.data;
  if (!scale) return shown.picture;
  const { level, width } = state;
  const grey = (value) => (255 * (value - scale.low)) / (scale.high - scale.low);
  if (shown.window !== `${level} ${width}`) {
    shown.window = `${level} ${width}`;
    shown.grey = windowed(shown.picture, grey(level - width / 2), grey(level + width / 2));
  }
  return shown.grey;
}

/** Draw a part of `source`, which shows the whole picture, over the whole canvas. */
function place(context, source, view, smooth) {
  const [height, width] = extentOf(shown.item);
  const [fx, fy] = [source.width / width, source.height / height];
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  const { width: across, height: down } = context.canvas;
  const [left, top, w, h] = view;
  context.drawImage(source, left * fx, top * fy, w * fx, h * fy, 0, 0, across, down);
}

/** Draw a mask's outline with a dark border, so that it is visible on any picture. */
function trace(context, plane, view, { colour, dash, width, filled }) {
  plane.path ??= outlined(plane.values, plane.width, plane.height);
  const [left, top, w] = view;
  const factor = context.canvas.width / w;
  context.save();
  context.scale(factor, factor);
  context.translate(-left, -top);
  if (filled) {
    context.fillStyle = `${colour}2e`;
    context.fill(plane.path, "evenodd");
  }
  context.strokeStyle = "#000000a0";
  context.lineWidth = (width + 1.6) / factor;
  context.stroke(plane.path);
  context.strokeStyle = colour;
  context.lineWidth = width / factor;
  context.setLineDash(dash.map((part) => part / factor));
  context.stroke(plane.path);
  context.restore();
}

/** Draw a layer on a canvas. */
function lay(context, layer, view, opacity) {
  if (layer.kind === "mask") {
    const width = Math.max(1.4, context.canvas.width / 260);
    trace(context, layer, view, { colour: SAMPLE, dash: [], width, filled: true });
    return;
  }
  if (layer.kind === "labels") {
    const width = Math.max(1.4, context.canvas.width / 260);
    for (const part of partsOf(layer)) {
      trace(context, part, view, { colour: part.colour, dash: [], width, filled: true });
    }
    return;
  }
  const { width, height } = layer;
  const times = Math.max(1, Math.round(context.canvas.width / width));
  const key = layer.kind === "heat" ? "base" : `base${times}`;
  layer[key] ??=
    layer.kind === "heat"
      ? heated(width, height, layer.values, SCALES[state.data.kind].greatest)
      : coloured(layer, state.data.labels, times);
  context.globalAlpha = opacity;
  place(context, layer[key], view, false);
  context.globalAlpha = 1;
}

/** Resize a canvas to the screen's pixels, and return its context. */
function sized(canvas, view, most) {
  const across = Math.min(most, Math.round((canvas.clientWidth || 160) * devicePixelRatio));
  canvas.width = across;
  canvas.height = Math.max(1, Math.round((across * view[3]) / view[2]));
  return canvas.getContext("2d");
}

function draw() {
  if (!shown) return;
  const view = viewOf(shown.item);
  const picture = pictureOf();
  drawMain(view, picture);
  for (const tile of root.querySelectorAll("[data-layer]")) {
    const layer = shown.layers.get(tile.dataset.layer);
    const context = sized(tile.querySelector("canvas"), view, 480);
    if (layer.kind === "mask" || layer.kind === "labels") place(context, picture, view, true);
    lay(context, layer, view, 1);
  }
}

function drawMain(view, picture) {
  const canvas = $("picture");
  const context = sized(canvas, view, 1600);
  place(context, picture, view, true);
  const key = state.over ?? state.pinned;
  const classes = state.data.kind === "classes";
  const layer = shown.layers.get(key) ?? (classes ? shown.layers.get("map-0") : undefined);
  canvas.dataset.shown = state.overlay && shown.layers.has(key) ? key : "";
  if (!state.overlay) return;
  if (layer) lay(context, layer, view, classes ? 0.7 : 1);
  if (classes) return;
  const times = canvas.width / Math.max(canvas.clientWidth, 1);
  shown.truth.forEach((plane, k) => {
    const grader = shown.item.given[k];
    const look = lookOf(grader);
    if (state.hidden.has(grader)) return;
    const line = { width: look.width * times, dash: look.dash.map((x) => x * times) };
    const parts = state.data.kind === "labels" ? partsOf(plane) : [{ ...look, plane }];
    for (const part of parts) {
      trace(context, part.plane ?? part, view, { ...line, colour: part.colour });
    }
  });
}

/** Return the line of a grader, from 1; after 8, the colours repeat with other dashes. */
function lookOf(grader) {
  const k = grader - 1;
  const round = Math.floor(k / TRUTHS.length);
  return { ...TRUTHS[k % TRUTHS.length], dash: TRUTHS[(k + round) % TRUTHS.length].dash };
}

let asked = false;

/** Draw with the next frame; several calls before it draw once. */
function drawSoon() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}
