/*
 * Layers over the picture, computed from the graders' masks and a run's samples.
 */

/**
 * @typedef {object} Layer
 * @property {string} name
 * @property {"mask" | "heat" | "classes" | "labels"} kind - "labels": outlines of each class
 * @property {number} width - of the values
 * @property {number} height
 */

/** Return the layers of an image and a run by key; the run may be missing. */
function layersOf(data, { truth }, run) {
  const layers = new Map();
  const make = { masks: mapsOfMasks, classes: mapsOfClasses, labels: mapsOfLabels }[data.kind];
  make(data, truth, run).forEach((layer, k) => {
    layers.set(`map-${k}`, layer);
  });
  run?.samples.forEach((plane, k) => {
    const kind = data.kind === "masks" ? "mask" : data.kind;
    const share = number(plane.weight / run.samples.length, 3);
    const weight = plane.weight === undefined ? "" : `, weight ${share}`;
    layers.set(`sample-${k}`, { kind, name: `sample ${k + 1}${weight}`, ...plane });
  });
  return layers;
}

function mapsOfMasks(data, truth, run) {
  const { width, height } = truth[0];
  const heat = (name, values) => ({ kind: "heat", name, values, width, height });
  const mean = (planes) => {
    const counts = counted(planes, 2);
    return Float32Array.from(
      { length: width * height },
      (_, k) => counts[2 * k + 1] / planes.length,
    );
  };
  const maps = [
    heat(truth.length > 1 ? `${data.truth}s’ mean` : `${data.truth}’s mask`, mean(truth)),
  ];
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
  return run ? [...maps, ...mapsOfSamples("classes", data, run)] : maps;
}

function mapsOfLabels(data, truth, run) {
  const { width, height } = truth[0];
  const kinds = data.labels.length;
  const name = truth.length > 1 ? `${data.truth}s’ most frequent class` : `${data.truth}’s map`;
  const values = mostFrequent(counted(truth, kinds), kinds);
  const maps = [{ kind: "labels", name, values, width, height }];
  return run ? [...maps, ...mapsOfSamples("labels", data, run)] : maps;
}

/** Return the maps of a run whose samples have several classes. */
function mapsOfSamples(kind, data, { samples, deterministic }) {
  const { width, height } = samples[0];
  const kinds = data.labels.length;
  const counts = counted(samples, kinds);
  const entropy = entropyOf(counts, kinds, samples.length);
  const most = mostFrequent(counts, kinds);
  return [
    { kind, name: "most frequent class", values: most, width, height },
    { kind: "heat", name: "entropy", values: entropy, width, height },
    { kind, name: "deterministic", ...deterministic },
  ];
}

/**
 * Return a label map's classes that are drawn, each as a plane of 0 and 1 with its colour.
 *
 * One that is within another comes after it: its outline covers the other's, where they share it.
 * @param {Plane} map - kept with it, because outlines are traced once
 */
function partsOf(map) {
  map.parts ??= state.data.labels
    .map(({ name, colour }, kind) => ({ name, colour, kind }))
    .filter(({ colour, kind }) => colour && map.values.includes(kind))
    .map(({ name, colour, kind }) => {
      const values = map.values.map((value) => (value === kind ? 1 : 0));
      return { name, colour, values, width: map.width, height: map.height };
    })
    .sort((one, other) => rowsOf(other) - rowsOf(one));
  return map.parts;
}

/** Return how many rows lie between the first and the last marked pixel of a plane. */
const rowsOf = ({ values, width }) =>
  Math.floor(values.lastIndexOf(1) / width) - Math.floor(values.indexOf(1) / width);

/** Return the number of pixels of a mask, or of the drawn classes of a label map. */
const sizeOfPlane = (plane) => plane.values.reduce((sum, value) => sum + value, 0);
