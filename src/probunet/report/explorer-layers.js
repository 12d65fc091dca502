/*
 * Layers over the picture, computed from the graders' masks and a run's samples.
 */

/**
 * @typedef {object} Layer
 * @property {string} name
 * @property {"mask" | "heat" | "classes"} kind
 * @property {number} width - of the values
 * @property {number} height
 */

/** Return the layers of an image and a run by key; the run may be missing. */
function layersOf(data, { truth }, run) {
  const layers = new Map();
  const maps =
    data.kind === "masks" ? mapsOfMasks(data, truth, run) : mapsOfClasses(data, truth, run);
  maps.forEach((layer, k) => {
    layers.set(`map-${k}`, layer);
  });
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
