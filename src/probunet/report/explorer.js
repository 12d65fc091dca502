/*
 * The explorer: one test image at a time, with what the graders drew and what a model draws.
 *
 * `state` is what was chosen; `shown` is the image and run that are on the page, decoded.
 */

const KEPT = 8; // images that stay decoded
const MARGIN = 10; // pixels around all masks that are enlarged
const LEAST = 48; // pixels, the smallest side that is enlarged
const SAMPLE = "#2ee6a8";
const TRUTHS = [ // a colour and a line for each grader, from the widest to the thinnest
  { colour: "#e69f00", dash: [], width: 3 },
  { colour: "#56b4e9", dash: [7, 4], width: 2.6 },
  { colour: "#f0e442", dash: [2, 3], width: 2.2 },
  { colour: "#cc79a7", dash: [9, 3, 2, 3], width: 1.8 },
  { colour: "#ffffff", dash: [4, 2], width: 1.8 },
  { colour: "#d55e00", dash: [1, 2], width: 1.8 },
];
const SCALES = { // of shares and entropies, by kind of data
  masks: {
    greatest: 1,
    text: "means: share of masks that hold the pixel, 0 to 1; entropy of the samples: 0 to 1 bit",
  },
  classes: { greatest: 2, text: "entropy of the samples, 0 to 2 bits and more" },
};

const $ = (name) => document.getElementById(`explorer-${name}`);
const root = document.getElementById("explorer");
const scripts = [...document.querySelectorAll("script.explorer-data")];
const documents = new Map(); // by data set, parsed when it is chosen
const cache = new Map(); // promises of decoded pictures, by data set, image and run

const state = {
  data: null, // the document of the data set
  model: "",
  beta: "",
  seed: "",
  fold: "",
  listed: [], // images in the list's order
  item: null, // the image
  overlay: true,
  enlarged: true,
  hidden: new Set(), // graders that are not drawn
  pinned: null, // the layer that stays over the picture
  over: null, // the layer under the pointer or the focus
  level: 0,
  width: 0,
};
let shown = null;
let turn = 0; // the last image that was asked for: an earlier one that comes later is not drawn

/* ---------- what can be chosen ---------- */

/** Fill a select with [value, text, disabled] and keep its value where it is still there. */
function fill(select, options, value) {
  select.replaceChildren(
    ...options.map(([key, text, disabled]) => {
      const option = new Option(text, key);
      option.disabled = Boolean(disabled);
      return option;
    }),
  );
  const open = options.filter(([, , disabled]) => !disabled).map(([key]) => key);
  select.value = open.includes(value) ? value : (open[0] ?? options[0]?.[0] ?? "");
  return select.value;
}

const unique = (values) => [...new Set(values)];
const betaOf = (run) => run.beta ?? "–";

/** Choose a data set and begin with its first run and image. */
function chooseData(name) {
  const script = scripts.find((one) => one.dataset.dataset === name) ?? scripts[0];
  if (!documents.has(script)) documents.set(script, JSON.parse(script.textContent));
  state.data = documents.get(script);
  state.item = null;
  state.pinned = null;
  state.hidden.clear();
  const { kind, subject, scale } = state.data;
  root.classList.toggle("classes", kind === "classes");
  for (const word of root.querySelectorAll("[data-word=subject]")) word.textContent = subject;
  $("sort").querySelector("option[value=subject]").textContent = subject;
  $("window").hidden = !scale;
  $("zoom").hidden = !state.data.images.some(boxOf);
  if (scale) prepareWindow(scale);
  fillLegend();
  fillModels();
}

function fillModels() {
  const { runs } = state.data;
  const models = unique(runs.map((run) => run.model)).map((model) => {
    const own = runs.filter((run) => run.model === model);
    const none = !own.some((run) => run.usable);
    return [model, own[0].name + (none ? " (no samples)" : ""), none];
  });
  state.model = fill($("model"), models, state.model);
  fillRuns();
}

/** Offer what the chosen model was run with. */
function fillRuns() {
  const runs = state.data.runs.filter((run) => run.model === state.model);
  const option = (values, text) =>
    unique(values).map((value) => {
      const none = !runs.some((run) => run.usable && [betaOf(run), String(run.seed)].includes(value));
      return [value, text(value) + (none ? " (no samples)" : ""), none];
    });
  const betas = runs.map(betaOf).sort((a, b) => Number(a) - Number(b));
  const seeds = runs.map((run) => String(run.seed)).sort((a, b) => Number(a) - Number(b));
  state.beta = fill($("beta"), option(betas, String), state.beta);
  state.seed = fill($("seed"), option(seeds, String), state.seed);
  const folds = unique(state.data.images.map((item) => String(item.fold)));
  state.fold = fill($("fold"), [["", "all"], ...folds.map((fold) => [fold, fold])], state.fold);
  hideWithoutChoice();
  list();
}

function hideWithoutChoice() {
  const hide = (name, without) => ($(name).closest("label").hidden = without);
  hide("dataset", scripts.length < 2);
  hide("beta", $("beta").value === "–");
  hide("fold", $("fold").options.length < 3); // "all" and one
  hide("seed", $("seed").options.length < 2);
}

/** Return the run that was chosen, of an image's fold; undefined where there is none. */
function runOf(item) {
  return state.data.runs.find(
    (run) =>
      run.model === state.model &&
      betaOf(run) === state.beta &&
      String(run.seed) === state.seed &&
      run.fold === item.fold,
  );
}

/** Return what a run has for an image, or undefined. */
const resultOf = (item) => item.runs[runOf(item)?.index];

/* ---------- the list of images ---------- */

/** Return what the list is sorted by, for one image; null stands last. */
function valueOf(item, key) {
  if (key === "ged") return resultOf(item)?.ged ?? null;
  return item[key] ?? null;
}

function compare(key, downwards) {
  const names = new Intl.Collator("en", { numeric: true });
  return (a, b) => {
    const [x, y] = [valueOf(a, key), valueOf(b, key)];
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x === "string") return names.compare(x, y) || names.compare(a.name, b.name);
    return downwards ? y - x : x - y;
  };
}

/** Fill the list with the images of the fold that the search finds, in the order asked for. */
function list() {
  const sort = $("sort").value;
  const key = sort.replace("-", "");
  const wanted = $("search").value.trim().toLowerCase();
  state.listed = state.data.images
    .filter((item) => !state.fold || String(item.fold) === state.fold)
    .filter((item) => `${item.subject} ${item.name}`.toLowerCase().includes(wanted))
    .sort(compare(key, sort.startsWith("-")));
  const options = state.listed.map((item, k) => new Option(entry(item, key), k));
  $("list").replaceChildren(...options);
  $("count").textContent = `${state.listed.length} of ${state.data.images.length} images`;
  if (!state.listed.includes(state.item)) state.item = state.listed[0] ?? state.item;
  choose(state.item, false);
}

/** Return an image's line in the list: what it is sorted by, and which one it is. */
function entry(item, key) {
  const value = key === "subject" ? valueOf(item, "ged") : valueOf(item, key);
  const digits = key === "area" ? 0 : 3;
  return `${number(value, digits)}\u2002${item.subject} · ${item.name}`;
}

/** Show an image and say which one it is. */
function choose(item, byHand = true) {
  state.item = item;
  const place = state.listed.indexOf(item);
  $("list").selectedIndex = place;
  $("previous").disabled = place <= 0;
  $("next").disabled = place < 0 || place >= state.listed.length - 1;
  root.dataset.image = place;
  if (byHand) remember();
  show();
}

/** Go to the next image of the list, or the previous one. */
function step(by) {
  const place = state.listed.indexOf(state.item) + by;
  if (place >= 0 && place < state.listed.length) choose(state.listed[place]);
}

/* ---------- decoding ---------- */

/** Return what `make` promises, from the cache where it was asked for lately. */
function kept(key, make) {
  const promise = cache.get(key) ?? make();
  cache.delete(key);
  cache.set(key, promise);
  if (cache.size > 2 * KEPT) cache.delete(cache.keys().next().value);
  return promise;
}

/** Return planes with 1 where a mask of the picture marks a pixel. */
async function masksOf(uri, count) {
  const planes = await planesOf(uri, count);
  for (const plane of planes) {
    for (let k = 0; k < plane.values.length; k++) plane.values[k] = plane.values[k] > 127 ? 1 : 0;
  }
  return planes;
}

async function loadImage(data, item) {
  const masks = data.kind === "masks";
  const [picture, truth] = await Promise.all([
    data.scale ? planeOf(item.picture) : decoded(item.picture),
    masks ? masksOf(item.truth, item.given.length) : planesOf(item.truth, 1),
  ]);
  return { picture, truth };
}

async function loadRun(data, result) {
  const read = data.kind === "masks" ? masksOf : planesOf;
  const [samples, [deterministic]] = await Promise.all([
    read(result.samples, result.count),
    read(result.deterministic, 1),
  ]);
  return { samples, deterministic };
}

/** Decode the chosen image and run, and draw them. */
async function show() {
  const own = ++turn;
  const { data, item } = state;
  if (!item) return;
  const result = resultOf(item);
  const name = `${data.name} ${item.fold} ${item.row}`;
  const [image, run] = await Promise.all([
    kept(name, () => loadImage(data, item)),
    result && kept(`${name} ${runOf(item).index}`, () => loadRun(data, result)),
  ]);
  if (own !== turn) return;
  shown = { data, item, result, ...image, layers: layersOf(data, item, image, run) };
  describe();
  fillTruths();
  fillTiles();
  draw();
}

/* ---------- layers: what can lie over the picture ---------- */

/**
 * @typedef {object} Layer
 * @property {string} name
 * @property {"mask" | "heat" | "classes"} kind
 * @property {number} width - of its values
 * @property {number} height
 */

/** Return the layers of an image and run by key; without the run's where it has none. */
function layersOf(data, item, { truth }, run) {
  const layers = new Map();
  const maps = data.kind === "masks" ? mapsOfMasks(data, truth, run) : mapsOfClasses(data, truth, run);
  maps.forEach((layer, k) => layers.set(`map-${k}`, layer));
  run?.samples.forEach((plane, k) => {
    const kind = data.kind === "masks" ? "mask" : "classes";
    layers.set(`sample-${k}`, { kind, name: `sample ${k + 1}`, ...plane });
  });
  return layers;
}

function mapsOfMasks(data, truth, run) {
  const { width, height } = truth[0];
  const heat = (name, values) => ({ kind: "heat", name, values, width, height });
  const mean = (planes) => {
    const counts = counted(planes, 2);
    return Float32Array.from({ length: width * height }, (_, k) => counts[2 * k + 1] / planes.length);
  };
  const maps = [heat(truth.length > 1 ? `${data.truth}s’ mean` : `${data.truth}’s mask`, mean(truth))];
  if (!run) return maps;
  const { samples, deterministic } = run;
  const entropy = entropyOf(counted(samples, 2), 2, samples.length);
  return [
    ...maps,
    heat("samples’ mean", mean(samples)),
    heat("entropy", entropy),
    { kind: "mask", name: "deterministic", ...deterministic },
  ];
}

function mapsOfClasses(data, [label], run) {
  const maps = [{ kind: "classes", name: "label, all first names", ...label }];
  if (!run) return maps;
  const { samples, deterministic } = run;
  const { width, height } = samples[0];
  const kinds = data.labels.length;
  const counts = counted(samples, kinds);
  const entropy = entropyOf(counts, kinds, samples.length);
  const most = mostFrequent(counts, kinds);
  return [
    ...maps,
    { kind: "classes", name: "most frequent class", values: most, width, height },
    { kind: "heat", name: "entropy", values: entropy, width, height },
    { kind: "classes", name: "deterministic", ...deterministic },
  ];
}

/* ---------- drawing ---------- */

/** Return the union of an image's masks, of all runs: left, top, right, bottom; or undefined. */
function boxOf(item) {
  const boxes = [item.box, ...Object.values(item.runs).map((run) => run.box)].filter(Boolean);
  if (!boxes.length) return undefined;
  const all = (k, pick) => pick(...boxes.map((box) => box[k]));
  return [all(0, Math.min), all(1, Math.min), all(2, Math.max), all(3, Math.max)];
}

/** Return left, top, width and height of the part of the picture that is shown. */
function viewOf(item) {
  const [height, width] = state.data.size;
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

/** Return the picture as it is seen through the window; made once for each window. */
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

/** Draw a part of the whole picture, which `source` shows, over all of a canvas. */
function place(context, source, view, smooth) {
  const [height, width] = state.data.size;
  const [fx, fy] = [source.width / width, source.height / height];
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  const { width: across, height: down } = context.canvas;
  const [left, top, w, h] = view;
  context.drawImage(source, left * fx, top * fy, w * fx, h * fy, 0, 0, across, down);
}

/** Draw a mask's outline over a canvas, dark below, so that it is seen on any picture. */
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

/** Draw a layer over a canvas. */
function lay(context, layer, view, opacity) {
  if (layer.kind === "mask") {
    const width = Math.max(1.4, context.canvas.width / 260);
    trace(context, layer, view, { colour: SAMPLE, dash: [], width, filled: true });
    return;
  }
  const { width, height } = layer;
  const times = Math.max(1, Math.round(context.canvas.width / width));
  const key = layer.kind === "heat" ? "base" : `base${times}`;
  layer[key] ??= layer.kind === "heat"
    ? heated(width, height, layer.values, SCALES[state.data.kind].greatest)
    : coloured(layer, state.data.labels, times);
  context.globalAlpha = opacity;
  place(context, layer[key], view, false);
  context.globalAlpha = 1;
}

/** Return a canvas's context, its size that of the page's pixels. */
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
    if (layer.kind === "mask") place(context, picture, view, true);
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
    const look = lookOf(k);
    if (!state.hidden.has(k)) {
      trace(context, plane, view, { ...look, width: look.width * times, dash: look.dash.map((x) => x * times) });
    }
  });
}

const lookOf = (k) => TRUTHS[k % TRUTHS.length];

let asked = false;

/** Draw before the page is shown next, once however often it was asked for. */
function drawSoon() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

/* ---------- words and numbers ---------- */

/** Return a number with a true minus sign, or a dash where there is none. */
function number(value, digits) {
  if (value === null || value === undefined) return "–";
  return value.toFixed(digits).replace("-", "−");
}

function describe() {
  const { item, result, data } = shown;
  const run = runOf(item);
  const place = state.listed.indexOf(item) + 1;
  const name = `${item.subject}, ${item.name}`;
  $("title").textContent = name;
  $("picture").setAttribute("aria-label", `Picture of ${name}`);
  const ged = result ? `, GED ${number(result.ged, 3)}` : "";
  $("status").textContent = place
    ? `Image ${place} of ${state.listed.length}, ${data.subject} ${name}${ged}`
    : `No image is found; ${name} is still shown`;
  fillNumbers(item, result, run, data);
  const missing = missingOf(item, result, run);
  $("missing").textContent = missing;
  $("missing").hidden = !missing;
  const count = result?.count ?? 0;
  $("samples-title").textContent = count
    ? `${count} samples of ${run.name}${run.beta ? `, β = ${run.beta}` : ""}, fold ${run.fold}, seed ${run.seed}`
    : "";
}

/** Return what the chosen run lacks for this image, or nothing. */
function missingOf(item, result, run) {
  const model = state.data.runs.find((one) => one.model === state.model).name;
  const which = `${model}, ${state.beta === "–" ? "" : `β = ${state.beta}, `}fold ${item.fold}, seed ${state.seed}`;
  if (!run) return `${which}: there is no such run.`;
  if (run.note) return `${which}: ${run.note}.`;
  return result ? "" : `${which}: the run has no samples of this image.`;
}

function fillNumbers(item, result, run, data) {
  const n = run?.n ? ` (n = ${run.n})` : "";
  const rows = [
    ["ged", `GED${n}`, number(result?.ged, 3)],
    ["diversity", "samples’ diversity", number(result?.diversity, 3)],
    ["disagreement", data.kind === "masks" ? `${data.truth}s’ disagreement` : "modes’ disagreement", number(item.disagreement, 3)],
    ["size", data.kind === "masks" ? "size, mean" : "ambiguous classes", sizeOf(item, data)],
    ["fold", "fold", String(item.fold)],
  ];
  if (item.annotations !== null) rows.push(["annotations", "annotations", String(item.annotations)]);
  $("numbers").replaceChildren(
    ...rows.map(([key, term, text]) => {
      const pair = document.createElement("div");
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      dt.textContent = term;
      dd.textContent = text;
      dd.dataset.number = key;
      pair.append(dt, dd);
      return pair;
    }),
  );
}

function sizeOf(item, data) {
  const pixels = `${Math.round(item.area)} px`;
  return data.spacing ? `${(item.area * data.spacing ** 2).toFixed(0)} mm², ${pixels}` : pixels;
}

/* ---------- controls that depend on the image or data set ---------- */

/** Offer each grader who looked at the image, in its colour and line. */
function fillTruths() {
  const { data, item } = shown;
  const box = $("truths");
  box.hidden = data.kind !== "masks";
  const names = data.kind === "masks" ? item.given.map((which) => `${data.truth} ${which}`) : [];
  if (box.dataset.names === String(names)) return markEmpty();
  box.dataset.names = String(names);
  const labels = names.map((name, k) => {
    const { colour, dash, width } = lookOf(k);
    const label = document.createElement("label");
    label.innerHTML =
      `<input type="checkbox" data-truth="${k}"><svg viewBox="0 0 36 14" aria-hidden="true">` +
      `<path d="M2 7h32" fill="none" stroke="${colour}" stroke-width="${width}" stroke-dasharray="${dash}"/></svg>`;
    label.querySelector("input").checked = !state.hidden.has(k);
    label.append(name, document.createElement("span"));
    return label;
  });
  box.querySelector("legend").textContent = `Outlines of the ${data.truth}s`;
  box.replaceChildren(box.querySelector("legend"), ...labels);
  return markEmpty();
}

/** Say which graders outlined nothing. */
function markEmpty() {
  $("truths").querySelectorAll("label > span").forEach((span, k) => {
    span.textContent = shown.truth[k].values.some(Boolean) ? "" : "(empty)";
  });
}

/** Make a button for each layer, or keep those that are there, and the focus with them. */
function fillTiles() {
  for (const [group, start] of [["maps", "map"], ["samples", "sample"]]) {
    const layers = [...shown.layers].filter(([key]) => key.startsWith(start));
    const names = layers.map(([key, layer]) => `${key} ${layer.name}`).join();
    if ($(group).dataset.names !== names) {
      $(group).dataset.names = names;
      $(group).replaceChildren(...layers.map(([key]) => tile(key)));
    }
  }
  root.querySelectorAll("[data-layer]").forEach(label);
  press();
  fillScales();
}

function tile(key) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.layer = key;
  button.append(document.createElement("canvas"), document.createElement("span"));
  return button;
}

/** Name a layer's button, with what its picture shows in words. */
function label(button) {
  const key = button.dataset.layer;
  const layer = shown.layers.get(key);
  const pixels = layer.kind === "mask" ? layer.values.reduce((sum, value) => sum + value, 0) : null;
  const name = key.startsWith("sample") ? layer.name.replace("sample ", "") : layer.name;
  button.querySelector("span").textContent = name + (pixels === 0 ? ", empty" : "");
  let text = layer.name + (pixels === null ? "" : pixels ? `, ${pixels} pixels` : ", empty");
  const digits = key.startsWith("sample") && shown.result.names?.split(" ")[key.split("-")[1]];
  if (digits) {
    text += `: ${namesOf(digits).join(", ")}`;
    button.querySelector(".chips")?.remove();
    button.append(chips(digits));
  }
  button.setAttribute("aria-label", text);
}

/** Return by which names a sample calls the five classes, in words. */
function namesOf(digits) {
  return Object.keys(state.data.flips)
    .map((flip, k) => `${flip}${digits[k] === "2" ? " 2" : ""}`)
    .filter((_, k) => digits[k] !== "0");
}

/** Return a square for each of the five classes: by which name a sample calls it. */
function chips(digits) {
  const span = document.createElement("span");
  span.className = "chips";
  span.append(
    ...Object.keys(state.data.flips).map((flip, k) => {
      const square = document.createElement("i");
      const name = digits[k] === "2" ? `${flip} 2` : flip;
      if (digits[k] !== "0") square.style.background = backgroundOf(name);
      return square;
    }),
  );
  return span;
}

/** Return a class's colour as CSS, with stripes where it is a second name. */
function backgroundOf(name) {
  const { labels } = state.data;
  const { colour, first } = labels.find((one) => one.name === name);
  if (first === null) return colour;
  const under = labels[first].colour;
  return `repeating-linear-gradient(135deg, ${under} 0 1.5px, ${colour} 1.5px 4.5px)`;
}

function fillLegend() {
  const names = Object.keys(state.data.flips).join(", ");
  $("chips").textContent = names && `Squares under a sample: the name that it gives most pixels of ${names}; white: neither name.`;
  $("legend").replaceChildren(
    ...state.data.labels.map(({ name }) => {
      const li = document.createElement("li");
      const square = document.createElement("i");
      square.style.background = backgroundOf(name);
      const probability = state.data.flips[name.replace(/ 2$/, "")];
      li.append(square, name.endsWith(" 2") ? `${name}, ${probability}` : name);
      return li;
    }),
  );
}

function fillScales() {
  const p = document.createElement("p");
  p.className = "quiet";
  p.append(document.createElement("i"), SCALES[state.data.kind].text);
  $("scales").replaceChildren(...(shown.result ? [p] : []));
}

/** Show on the buttons what is on and off. */
function press() {
  $("overlay").setAttribute("aria-pressed", state.overlay);
  $("zoom").setAttribute("aria-pressed", state.enlarged);
  for (const button of root.querySelectorAll("[data-layer]")) {
    button.setAttribute("aria-pressed", button.dataset.layer === state.pinned);
  }
}

/* ---------- window and level ---------- */

function prepareWindow({ low, high, presets }) {
  for (const [name, from, to] of [["level", low, high], ["width", 1, high - low]]) {
    Object.assign($(name), { min: from, max: to, step: high - low > 50 ? 1 : (high - low) / 255 });
  }
  $("presets").replaceChildren(
    ...presets.map((preset) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.preset = preset.name;
      button.textContent = preset.name;
      button.addEventListener("click", () => setWindow(preset.level, preset.width));
      return button;
    }),
  );
  const digits = digitsOf(state.data.scale);
  const span = `${number(low, digits)} to ${withUnit(number(high, digits))}`;
  const grain = withUnit(((high - low) / 255).toPrecision(2));
  $("steps").textContent = `The picture holds ${span} in steps of ${grain}; what lies beyond is cut.`;
  setWindow(presets[0].level, presets[0].width);
}

/** Return how many digits after the point a value of the picture is told with. */
const digitsOf = ({ low, high }) => (high - low > 50 ? 0 : 3);

function withUnit(text) {
  const { unit } = state.data.scale;
  return unit ? `${text} ${unit}` : text;
}

function setWindow(level, width) {
  Object.assign(state, { level, width });
  const { presets } = state.data.scale;
  for (const [name, value] of [["level", level], ["width", width]]) {
    $(name).value = value;
    const text = withUnit(number(value, digitsOf(state.data.scale)));
    $(name).setAttribute("aria-valuetext", text);
    $(name).parentElement.querySelector("output").textContent = text;
  }
  for (const button of $("presets").children) {
    const preset = presets.find((one) => one.name === button.dataset.preset);
    button.setAttribute("aria-pressed", preset.level === level && preset.width === width);
  }
  drawSoon();
}

/* ---------- the value under the pointer ---------- */

function readPixel(event) {
  if (!shown) return;
  const [left, top, w, h] = viewOf(shown.item);
  const bounds = $("picture").getBoundingClientRect();
  const x = Math.floor(left + ((event.clientX - bounds.left) / bounds.width) * w);
  const y = Math.floor(top + ((event.clientY - bounds.top) / bounds.height) * h);
  const [height, width] = state.data.size;
  const inside = x >= 0 && y >= 0 && x < width && y < height;
  $("pixel").textContent = inside ? `x ${x}, y ${y}: ${valuesAt(x, y).join("; ")}` : "";
}

function valuesAt(x, y) {
  const { data, truth, picture, layers } = shown;
  const [height, width] = data.size;
  const at = (plane) =>
    plane.values[
      Math.floor((y * plane.height) / height) * plane.width + Math.floor((x * plane.width) / width)
    ];
  const samples = [...layers].filter(([key]) => key.startsWith("sample")).map(([, layer]) => at(layer));
  const words = [];
  if (data.scale) {
    const { low, high } = data.scale;
    const value = low + (at(picture) / 255) * (high - low);
    words.push(withUnit(number(value, digitsOf(data.scale))));
  }
  if (data.kind === "masks") {
    const marks = truth.map(at);
    words.push(`${marks.filter(Boolean).length} of ${marks.length} ${data.truth}s`);
    if (samples.length) words.push(`${samples.filter(Boolean).length} of ${samples.length} samples`);
  } else {
    words.push(`label ${data.labels[at(truth[0])].name}`);
    for (const kind of unique(samples)) {
      const count = samples.filter((one) => one === kind).length;
      words.push(`${count} × ${data.labels[kind].name}`);
    }
  }
  return words;
}

/* ---------- the address ---------- */

/** Write the choice into the address, where the browser lets the page do so. */
function remember() {
  const { data, model, beta, seed, item } = state;
  const parts = ["explorer", data.name, model, beta, seed, item.fold, item.row];
  try {
    history.replaceState(null, "", `#${parts.map(encodeURIComponent).join("/")}`);
  } catch {
    // within another page, or too often for this browser: the address stays as it is
  }
}

/** Return what the address asks for, or null. */
function remembered() {
  const parts = location.hash.slice(1).split("/");
  if (parts[0] !== "explorer" || parts.length !== 7) return null;
  try {
    const [, name, model, beta, seed, fold, row] = parts.map(decodeURIComponent);
    return { name, model, beta, seed, fold: Number(fold), row: Number(row) };
  } catch {
    return null;
  }
}

/* ---------- events ---------- */

function layerUnder(event) {
  return event.target.closest("[data-layer]")?.dataset.layer ?? null;
}

function hover(event) {
  state.over = event.type === "pointerover" || event.type === "focusin" ? layerUnder(event) : null;
  if (shown) drawMain(viewOf(shown.item), pictureOf());
}

function toggle(name) {
  state[name] = !state[name];
  press();
  draw();
}

function pin(key) {
  state.pinned = state.pinned === key ? null : key;
  state.over = null;
  press();
  draw();
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  o: () => toggle("overlay"),
  z: () => $("zoom").hidden || toggle("enlarged"),
  Escape: () => pin(null),
};

function pressed(event) {
  const action = KEYS[event.key];
  const { target } = event;
  const typing = target.matches("select, input[type=search]");
  const sliding = target.matches("input[type=range]") && event.key.startsWith("Arrow");
  if (!action || typing || sliding || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  action();
}

function listen() {
  $("dataset").addEventListener("change", (event) => chooseData(event.target.value));
  $("model").addEventListener("change", (event) => {
    state.model = event.target.value;
    fillRuns();
    remember();
  });
  for (const name of ["beta", "seed", "fold"]) {
    $(name).addEventListener("change", (event) => {
      state[name] = event.target.value;
      list();
      remember();
    });
  }
  $("search").addEventListener("input", list);
  $("sort").addEventListener("change", list);
  $("list").addEventListener("change", () => choose(state.listed[$("list").selectedIndex]));
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("overlay").addEventListener("click", () => toggle("overlay"));
  $("zoom").addEventListener("click", () => toggle("enlarged"));
  $("truths").addEventListener("change", ({ target }) => {
    const k = Number(target.dataset.truth);
    if (target.checked) state.hidden.delete(k);
    else state.hidden.add(k);
    draw();
  });
  for (const name of ["level", "width"]) {
    $(name).addEventListener("input", () => setWindow($("level").valueAsNumber, $("width").valueAsNumber));
  }
  for (const group of [$("maps"), $("samples")]) {
    for (const type of ["pointerover", "pointerout", "focusin", "focusout"]) {
      group.addEventListener(type, hover);
    }
    group.addEventListener("click", (event) => layerUnder(event) && pin(layerUnder(event)));
  }
  $("picture").addEventListener("pointermove", readPixel);
  $("picture").addEventListener("pointerleave", () => ($("pixel").textContent = ""));
  root.addEventListener("keydown", pressed);
  new ResizeObserver(drawSoon).observe($("stage"));
}

function begin() {
  const wanted = remembered();
  root.hidden = false;
  listen();
  const names = scripts.map((script) => script.dataset.dataset);
  const titles = scripts.map((script) => script.dataset.title);
  fill($("dataset"), names.map((name, k) => [name, titles[k]]), wanted?.name);
  if (wanted) Object.assign(state, { model: wanted.model, beta: wanted.beta, seed: wanted.seed });
  chooseData($("dataset").value);
  const item = state.data.images.find((one) => one.fold === wanted?.fold && one.row === wanted?.row);
  if (item) choose(item, false);
}

begin();
