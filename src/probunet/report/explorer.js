/*
 * The explorer: one test image at a time, with the graders' masks and a model's samples.
 *
 * `state` is the reader's choice; `shown` holds the decoded image and run on the page.
 */

const KEPT = 8; // number of images that stay decoded

const $ = (name) => document.getElementById(`explorer-${name}`);
const root = document.getElementById("explorer");
const scripts = [...document.querySelectorAll("script.explorer-data")];
const documents = new Map(); // by data set; parsed when the data set is first chosen
const cache = new Map(); // promises of decoded pictures, by data set, image and run

const state = {
  data: null, // the document of the data set
  model: "",
  beta: "",
  seed: "",
  fold: "",
  listed: [], // images in the order of the list
  item: null, // the image
  overlay: true,
  enlarged: true,
  hidden: new Set(), // hidden graders
  pinned: null, // the layer that stays over the picture
  over: null, // the layer under the pointer or the focus
  level: 0,
  width: 0,
};
let shown = null;
let turn = 0; // counts requests: an image that finishes loading after a newer request is not drawn

/* ---------- choices ---------- */

/** Fill a select with [value, text, disabled]; keep its value if it is still available. */
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

/** Choose a data set, and show its first run and image. */
function chooseData(name) {
  const script = scripts.find((one) => one.dataset.dataset === name) ?? scripts[0];
  if (!documents.has(script)) documents.set(script, JSON.parse(script.textContent));
  state.data = documents.get(script);
  state.item = null;
  state.pinned = null;
  state.hidden.clear();
  $("search").value = "";
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

/** Offer the betas, seeds and folds of the chosen model. */
function fillRuns() {
  const runs = state.data.runs.filter((run) => run.model === state.model);
  const option = (values, text) =>
    unique(values).map((value) => {
      const none = !runs.some(
        (run) => run.usable && [betaOf(run), String(run.seed)].includes(value),
      );
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

/** Return the chosen run of an image's fold, or undefined. */
function runOf(item) {
  return state.data.runs.find(
    (run) =>
      run.model === state.model &&
      betaOf(run) === state.beta &&
      String(run.seed) === state.seed &&
      run.fold === item.fold,
  );
}

/** Return the chosen run's result for an image, or undefined. */
const resultOf = (item) => item.runs[runOf(item)?.index];

/* ---------- the list of images ---------- */

/** Return the value by which an image is sorted; null sorts last. */
function sortValue(item, key) {
  if (key === "ged") return resultOf(item)?.ged ?? null;
  return item[key] ?? null;
}

function compare(key, downwards) {
  const names = new Intl.Collator("en", { numeric: true });
  return (a, b) => {
    const [x, y] = [sortValue(a, key), sortValue(b, key)];
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x === "string") return names.compare(x, y) || names.compare(a.name, b.name);
    return downwards ? y - x : x - y;
  };
}

/** Fill the list with the images that match fold and search, in the chosen order. */
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
  if (!state.listed.includes(state.item)) state.item = state.listed[0] ?? state.item ?? shown.item;
  choose(state.item, false);
}

/** Return an image's line in the list: its sort value and its name. */
function entry(item, key) {
  const value = key === "subject" ? sortValue(item, "ged") : sortValue(item, key);
  const digits = key === "area" ? 0 : 3;
  return `${number(value, digits)}\u2002${item.subject} · ${item.name}`;
}

/** Select an image in the list and show it. */
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

/** Go forward or back in the list by this number of images. */
function step(by) {
  const place = state.listed.indexOf(state.item) + by;
  if (place >= 0 && place < state.listed.length) choose(state.listed[place]);
}

/* ---------- decoding ---------- */

/** Return the promise of `make`, from the cache if it was used recently. */
function kept(key, make) {
  const promise = cache.get(key) ?? make();
  cache.delete(key);
  cache.set(key, promise);
  if (cache.size > 2 * KEPT) cache.delete(cache.keys().next().value);
  return promise;
}

/** Return the masks of a picture as planes of 0 and 1. */
async function masksOf(uri, count) {
  const planes = await planesOf(uri, count);
  for (const plane of planes) {
    for (let k = 0; k < plane.values.length; k++) plane.values[k] = plane.values[k] > 127 ? 1 : 0;
  }
  return planes;
}

async function loadImage(data, item) {
  const count = data.kind === "classes" ? 1 : item.given.length;
  const [picture, truth] = await Promise.all([
    data.scale ? planeOf(item.picture) : decoded(item.picture),
    (data.kind === "masks" ? masksOf : planesOf)(item.truth, count),
  ]);
  return { picture, truth };
}

async function loadRun(data, result) {
  const read = data.kind === "masks" ? masksOf : planesOf;
  const [samples, [deterministic]] = await Promise.all([
    read(result.samples, result.count),
    read(result.deterministic, 1),
  ]);
  result.weights?.forEach((weight, k) => {
    samples[k].weight = weight; // 1 on average
  });
  return { samples, deterministic };
}

/** Decode and draw the chosen image and run. */
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
  shown = { data, item, result, ...image, layers: layersOf(data, image, run) };
  describe();
  fillTruths();
  fillTiles();
  draw();
}

/* ---------- the address ---------- */

/** Write the choice into the address, if the browser allows it. */
function remember() {
  const { data, model, beta, seed, item } = state;
  const parts = ["explorer", data.name, model, beta, seed, item.fold, item.row];
  try {
    history.replaceState(null, "", `#${parts.map(encodeURIComponent).join("/")}`);
  } catch {
    // inside a frame, or after too many changes, browsers refuse: keep the address
  }
}

/** Return the choice in the address, or null. */
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
  $("sort").addEventListener("change", () => {
    state.item = null; // show the first image of the new order
    list();
  });
  $("list").addEventListener("change", () => choose(state.listed[$("list").selectedIndex]));
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("overlay").addEventListener("click", () => toggle("overlay"));
  $("zoom").addEventListener("click", () => toggle("enlarged"));
  $("truths").addEventListener("change", ({ target }) => {
    const grader = Number(target.dataset.truth);
    if (target.checked) state.hidden.delete(grader);
    else state.hidden.add(grader);
    draw();
  });
  for (const name of ["level", "width"]) {
    $(name).addEventListener("input", () =>
      setWindow($("level").valueAsNumber, $("width").valueAsNumber),
    );
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
  fill(
    $("dataset"),
    names.map((name, k) => [name, titles[k]]),
    wanted?.name,
  );
  if (wanted) Object.assign(state, { model: wanted.model, beta: wanted.beta, seed: wanted.seed });
  chooseData($("dataset").value);
  const item = state.data.images.find(
    (one) => one.fold === wanted?.fold && one.row === wanted?.row,
  );
  if (item) choose(item, false);
}

begin();
