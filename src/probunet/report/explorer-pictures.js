/*
 * Pictures: data URIs to numbers, and numbers to canvases.
 */

const HEAT = ["#000004", "#51127c", "#b73779", "#fc8961", "#fcfdbf"].map(rgb); // the colour map "magma"
const STRIPES = 6; // distance in pixels between the stripes of a second name
const STRIPE = 2; // width in pixels of a stripe in the first name's colour

/**
 * @typedef {{width: number, height: number, values: Uint8Array}} Plane - a picture's red channel
 */

/** Return red, green and blue of "#rrggbb". */
function rgb(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}

/** Return the decoded picture of a data URI. */
async function decoded(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}

/** Return a canvas of this size. */
function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/**
 * Return the red channel of the picture in a data URI.
 * @returns {Promise<Plane>}
 */
async function planeOf(uri) {
  const image = await decoded(uri);
  const { width, height } = image;
  const context = blank(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const values = new Uint8Array(width * height);
  for (let k = 0; k < values.length; k++) values[k] = data[4 * k];
  return { width, height, values };
}

/**
 * Return the planes of equal height that are stacked in one picture.
 * @param {string} uri
 * @param {number} count
 * @returns {Promise<Plane[]>}
 */
async function planesOf(uri, count) {
  const { width, height, values } = await planeOf(uri);
  const size = (width * height) / count;
  return Array.from({ length: count }, (_, k) => ({
    width,
    height: height / count,
    values: values.subarray(k * size, (k + 1) * size),
  }));
}

/** Return a canvas whose pixel k has the colour (red, green, blue) that `colour(k)` gives. */
function painted(width, height, colour) {
  const canvas = blank(width, height);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const { data } = pixels;
  for (let k = 0; k < width * height; k++) {
    const [red, green, blue] = colour(k);
    data[4 * k] = red;
    data[4 * k + 1] = green;
    data[4 * k + 2] = blue;
    data[4 * k + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * Return a grey picture in which `low` is black and `high` is white.
 * @param {Plane} plane
 */
function windowed({ width, height, values }, low, high) {
  const shades = Array.from({ length: 256 }, (_, value) => {
    const shade = (255 * (value - low)) / Math.max(high - low, 1e-6);
    return [shade, shade, shade]; // the canvas clips values to 0 ... 255
  });
  return painted(width, height, (k) => shades[values[k]]);
}

/** Return a picture of values from 0 to `greatest` in the colours of HEAT. */
function heated(width, height, values, greatest) {
  return painted(width, height, (k) => {
    const place = Math.min(values[k] / greatest, 1) * (HEAT.length - 1);
    const before = Math.min(Math.floor(place), HEAT.length - 2);
    const part = place - before;
    return HEAT[before].map((from, c) => from + part * (HEAT[before + 1][c] - from));
  });
}

/**
 * Return a picture of a class map; second names have stripes in the first name's colour.
 * @param {Plane} plane
 * @param {{colour: string, first: ?number}[]} labels
 * @param {number} times - canvas pixels for each pixel of the map, in both directions
 */
function coloured({ width, values, height }, labels, times) {
  const colours = labels.map((label) => rgb(label.colour));
  const across = width * times;
  return painted(across, height * times, (k) => {
    const x = k % across;
    const y = Math.floor(k / across);
    const value = values[Math.floor(y / times) * width + Math.floor(x / times)];
    const { first } = labels[value];
    return colours[first !== null && (x + y) % STRIPES < STRIPE ? first : value];
  });
}

/**
 * Return how often each value occurs at each pixel; planes with weights count by these.
 * @param {Plane[]} planes
 * @param {number} kinds - number of values: 0 ... kinds - 1
 * @returns {Uint8Array | Float32Array} (pixels, kinds)
 */
function counted(planes, kinds) {
  const Counts = planes.some(({ weight }) => weight !== undefined) ? Float32Array : Uint8Array;
  const counts = new Counts(planes[0].values.length * kinds);
  for (const { values, weight = 1 } of planes) {
    for (let k = 0; k < values.length; k++) counts[k * kinds + values[k]] += weight;
  }
  return counts;
}

/** Return the entropy of counts (pixels, kinds) at each pixel, in bits. */
function entropyOf(counts, kinds, total) {
  const termOf = (count) => (count ? (-count / total) * Math.log2(count / total) : 0);
  const terms = Array.from({ length: total + 1 }, (_, count) => termOf(count));
  const entropy = new Float32Array(counts.length / kinds);
  for (let k = 0; k < counts.length; k++) {
    entropy[Math.floor(k / kinds)] += terms[counts[k]] ?? termOf(counts[k]);
  }
  return entropy;
}

/** Return the most frequent value at each pixel; of equally frequent ones the smallest. */
function mostFrequent(counts, kinds) {
  const values = new Uint8Array(counts.length / kinds);
  for (let k = 0; k < values.length; k++) {
    const start = k * kinds;
    for (let kind = 1; kind < kinds; kind++) {
      if (counts[start + kind] > counts[start + values[k]]) values[k] = kind;
    }
  }
  return values;
}
