/*
 * Controls that depend on the image or the data set: graders, layer buttons, legend and window.
 */

/** Add a checkbox for each grader of the image, with the grader's colour and line. */
function fillTruths() {
  const { data, item } = shown;
  const box = $("truths");
  box.hidden = data.kind === "classes";
  const nameOf = (grader) => data.names[grader - 1] ?? `${data.truth} ${grader}`;
  const names = data.kind === "classes" ? [] : item.given.map(nameOf);
  if (box.dataset.names === String(names)) return markEmpty();
  box.dataset.names = String(names);
  const labels = names.map((name, k) => {
    const grader = item.given[k];
    const { dash, width, ...look } = lookOf(grader);
    const colour = data.kind === "labels" ? "#fff" : look.colour; // colours are the classes’
    const label = document.createElement("label");
    label.innerHTML =
      `<input type="checkbox" data-truth="${grader}"><svg viewBox="0 0 36 14" aria-hidden="true">` +
      `<path d="M2 7h32" fill="none" stroke="${colour}" stroke-width="${width}" stroke-dasharray="${dash}"/></svg>`;
    label.querySelector("input").checked = !state.hidden.has(grader);
    label.append(name, document.createElement("span"));
    return label;
  });
  box.querySelector("legend").textContent = `Outlines of the ${data.truth}s`;
  box.replaceChildren(box.querySelector("legend"), ...labels);
  return markEmpty();
}

/** Mark the graders whose mask is empty. */
function markEmpty() {
  $("truths")
    .querySelectorAll("label > span")
    .forEach((span, k) => {
      const plane = shown.truth[k];
      const marked = shown.data.kind === "labels" ? partsOf(plane) : plane.values.filter(Boolean);
      span.textContent = marked.length ? "" : "(empty)";
    });
}

/** Make a button for each layer; keep existing buttons, so that they keep the focus. */
function fillTiles() {
  for (const [group, start] of [
    ["maps", "map"],
    ["samples", "sample"],
  ]) {
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

/** Write a layer button's name, and describe its picture for screen readers. */
function label(button) {
  const key = button.dataset.layer;
  const layer = shown.layers.get(key);
  const parts = layer.kind === "labels" ? partsOf(layer) : [layer];
  const outlined = layer.kind === "labels" || layer.kind === "mask";
  const pixels = outlined ? parts.reduce((sum, part) => sum + sizeOfPlane(part), 0) : null;
  const name = key.startsWith("sample") ? layer.name.replace("sample ", "") : layer.name;
  button.querySelector("span").textContent = name + (pixels === 0 ? ", empty" : "");
  let text = layer.name + (pixels === null ? "" : pixels ? `, ${pixels} pixels` : ", empty");
  if (layer.kind === "labels" && pixels) {
    text = `${layer.name}: ${parts.map((part) => `${part.name}, ${sizeOfPlane(part)} pixels`).join("; ")}`;
  }
  const digits = key.startsWith("sample") && shown.result.names?.split(" ")[key.split("-")[1]];
  if (digits) {
    text += `: ${namesOf(digits).join(", ")}`;
    button.querySelector(".chips")?.remove();
    button.append(chips(digits));
  }
  button.setAttribute("aria-label", text);
}

/** Return the names that a sample gives to the five classes. */
function namesOf(digits) {
  return Object.keys(state.data.flips)
    .map((flip, k) => `${flip}${digits[k] === "2" ? " 2" : ""}`)
    .filter((_, k) => digits[k] !== "0");
}

/** Return a square for each of the five classes, in the colour of the name that a sample gives. */
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

/** Return a class's colour as CSS; second names are striped. */
function backgroundOf(name) {
  const { labels } = state.data;
  const { colour, first } = labels.find((one) => one.name === name);
  if (first === null) return colour;
  const under = labels[first].colour;
  return `repeating-linear-gradient(135deg, ${under} 0 1.5px, ${colour} 1.5px 4.5px)`;
}

/** Return whether a class is drawn: the background of label maps has no colour. */
const drawn = ({ colour }) => colour !== "";

function fillLegend() {
  const names = Object.keys(state.data.flips).join(", ");
  $("chips").textContent =
    names &&
    `Squares under a sample: the name that it gives most pixels of ${names}; white: neither name.`;
  $("legend").replaceChildren(
    ...state.data.labels.filter(drawn).map(({ name }) => {
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

/** Show on the buttons what is switched on. */
function press() {
  $("overlay").setAttribute("aria-pressed", state.overlay);
  $("zoom").setAttribute("aria-pressed", state.enlarged);
  for (const button of root.querySelectorAll("[data-layer]")) {
    button.setAttribute("aria-pressed", button.dataset.layer === state.pinned);
  }
}

function prepareWindow({ low, high, presets }) {
  for (const [name, from, to] of [
    ["level", low, high],
    ["width", 1, high - low],
  ]) {
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
  $("steps").textContent =
    `The picture holds ${span} in steps of ${grain}; what lies beyond is cut.`;
  setWindow(presets[0].level, presets[0].width);
}

/** Return the number of decimals for a value of the picture. */
const digitsOf = ({ low, high }) => (high - low > 50 ? 0 : 3);

function withUnit(text) {
  const { unit } = state.data.scale;
  return unit ? `${text} ${unit}` : text;
}

function setWindow(level, width) {
  Object.assign(state, { level, width });
  const { presets } = state.data.scale;
  for (const [name, value] of [
    ["level", level],
    ["width", width],
  ]) {
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
