/*
 * Outlines of masks: closed lines through the edge midpoints between marked and unmarked pixels.
 */

const TURNS = [1, 0, 3]; // right, straight on, left: pixels that touch only at a corner are separate
// the four directions, clockwise, starting with "to the right"
const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];

/**
 * Return a mask's outline, in pixels from its upper left corner.
 * @param {Uint8Array} mask - 1 where a pixel is marked, row by row.
 * @param {number} width
 * @param {number} height
 * @returns {Path2D}
 */
function outlined(mask, width, height) {
  const edges = edgesOf(mask, width, height);
  const path = new Path2D();
  for (const first of edges) {
    let edge = first; // a Set may lose members during the loop
    let begun = false;
    while (edges.delete(edge)) {
      const [x, y] = middleOf(edge, width);
      if (begun) path.lineTo(x, y);
      else path.moveTo(x, y);
      begun = true;
      edge = following(edge, edges, width);
    }
    path.closePath();
  }
  return path;
}

/** Return the directed edges around marked pixels, clockwise: 4 times a corner, plus a direction. */
function edgesOf(mask, width, height) {
  const edges = new Set();
  const marked = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
  const corner = (x, y) => 4 * (y * (width + 1) + x);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!mask[y * width + x]) continue;
      if (!marked(x, y - 1)) edges.add(corner(x, y));
      if (!marked(x + 1, y)) edges.add(corner(x + 1, y) + 1);
      if (!marked(x, y + 1)) edges.add(corner(x + 1, y + 1) + 2);
      if (!marked(x - 1, y)) edges.add(corner(x, y + 1) + 3);
    }
  }
  return edges;
}

function middleOf(edge, width) {
  const corner = edge >> 2;
  const [dx, dy] = STEPS[edge & 3];
  return [(corner % (width + 1)) + dx / 2, Math.floor(corner / (width + 1)) + dy / 2];
}

/** Return the edge that starts where this one ends, or -1 if it was already used. */
function following(edge, edges, width) {
  const [dx, dy] = STEPS[edge & 3];
  const corner = (edge >> 2) + dx + dy * (width + 1);
  const turn = TURNS.find((by) => edges.has(4 * corner + (((edge & 3) + by) & 3)));
  return turn === undefined ? -1 : 4 * corner + (((edge & 3) + turn) & 3);
}
