/*
 * Text and numbers about the image, missing runs, and the pixel under the pointer.
 */

/** Return a number with a typographic minus sign, or a dash for a missing value. */
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
    ? `${count} samples of ${run.name}${run.beta ? `, β\u00a0=\u00a0${run.beta}` : ""}`
    : "";
}

/** Return a sentence on what the chosen run lacks for this image, or an empty text. */
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
    [
      "disagreement",
      data.kind === "classes" ? "modes’ disagreement" : `${data.truth}s’ disagreement`,
      number(item.disagreement, 3),
    ],
    ["size", data.kind === "classes" ? "ambiguous classes" : "size, mean", sizeOf(item, data)],
    ["fold", "fold", String(item.fold)],
  ];
  if (item.annotations !== null)
    rows.push(["annotations", "annotations", String(item.annotations)]);
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

function readPixel(event) {
  if (!shown) return;
  const [left, top, w, h] = viewOf(shown.item);
  const bounds = $("picture").getBoundingClientRect();
  const x = Math.floor(left + ((event.clientX - bounds.left) / bounds.width) * w);
  const y = Math.floor(top + ((event.clientY - bounds.top) / bounds.height) * h);
  const [height, width] = extentOf(shown.item);
  const inside = x >= 0 && y >= 0 && x < width && y < height;
  $("pixel").textContent = inside ? `x ${x}, y ${y}: ${valuesAt(x, y).join("; ")}` : "";
}

function valuesAt(x, y) {
  const { data, item, truth, picture, layers } = shown;
  const [height, width] = extentOf(item);
  const at = (plane) =>
    plane.values[
      Math.floor((y * plane.height) / height) * plane.width + Math.floor((x * plane.width) / width)
    ];
  const samples = [...layers]
    .filter(([key]) => key.startsWith("sample"))
    .map(([, layer]) => at(layer));
  const words = [];
  if (data.scale) {
    const { low, high } = data.scale;
    const value = low + (at(picture) / 255) * (high - low);
    words.push(withUnit(number(value, digitsOf(data.scale))));
  }
  if (data.kind === "masks") {
    const marks = truth.map(at);
    words.push(`${marks.filter(Boolean).length} of ${marks.length} ${data.truth}s`);
    if (samples.length)
      words.push(`${samples.filter(Boolean).length} of ${samples.length} samples`);
  } else if (data.kind === "labels") {
    words.push(`${data.truth}s: ${timesOf(truth.map(at)).join(", ")}`);
    if (samples.length) words.push(`samples: ${timesOf(samples).join(", ")}`);
  } else {
    words.push(`label ${data.labels[at(truth[0])].name}`, ...timesOf(samples));
  }
  return words;
}

/** Return how often each class occurs among class ids: "3 × cup". */
function timesOf(kinds) {
  return unique(kinds).map((kind) => {
    const count = kinds.filter((one) => one === kind).length;
    return `${count} × ${state.data.labels[kind].name}`;
  });
}
