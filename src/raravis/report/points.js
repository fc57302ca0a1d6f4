// The points of the map as columns: places, scores, and the orders in which they are drawn.

function openPoints(packed) {
  const coords = unpack(packed.coords), count = coords.length / 3;
  const made = { count, packed, xyz: new Float32Array(coords.length) };
  for (const column of ["cluster", "recording", "start_s", "end_s", "score"]) made[column] = unpack(packed[column]);
  // Half extents hold all but the outermost hundredth; those lie outside until zoomed out.
  made.half = [0, 1, 2].map((axis) => {
    const some = [], stride = Math.max(1, Math.floor(count / 20000));
    for (let i = 0; i < count; i += stride) some.push(coords[3 * i + axis]);
    some.sort((a, b) => a - b);
    const low = some[Math.floor(some.length * 0.005)] ?? 0, high = some[Math.ceil(some.length * 0.995) - 1] ?? 1;
    const middle = (low + high) / 2;
    for (let i = 0; i < count; i++) made.xyz[3 * i + axis] = coords[3 * i + axis] - middle;
    return Math.max(1, (high - low) / 2);
  });
  made.x = new Float32Array(count);
  made.y = new Float32Array(count);
  made.depth = new Float32Array(count);
  made.order = new Uint32Array(count);
  made.tint = new Uint8Array(count);
  made.byRank = made.score.slice().sort();
  const { low, high } = scoreRange(made);
  made.byScore = new Uint32Array(count);
  sortInto(made.byScore, (i) => (made.score[i] - low) / (high - low));
  return made;
}

// From the median to where only one dot in five hundred is higher.
function scoreRange({ byRank, count }) {
  const at = (share) => byRank[Math.floor(share * (count - 1))];
  const low = at(0.5), high = at(0.998);
  return { low, high: high > low ? high : low + 1 };
}
