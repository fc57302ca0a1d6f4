// Axes: round steps for numbers and clocks, and what stands beside them.

// About `count` round steps between low and high.
function ticks(low, high, count, steps = [1, 2, 5, 10]) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * steps.find((s) => s * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

// Round values of every size from about `low` up to `high`, for a bent axis.
function decades(low, high) {
  const found = [0];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    found.push(...[1, 2, 5].map((digit) => digit * 10 ** power).filter((v) => v <= high));
  }
  return found;
}

// A score's place between floor (0) and ceiling (1). The floor is zero, below which nothing is of
// interest, or the lowest score where even the alarm level is negative. Few very high scores would
// press all others flat, so the axis bends to a logarithm where the highest is far above the level.
function scoreScale({ low, high, level }) {
  const unit = level > 0 ? level : Math.max(high, 1e-9);
  const bent = level > 0 && high > 8 * level;
  const form = bent ? (v) => Math.asinh((2 * v) / unit) : (v) => v;
  const from = level > 0 || !(low < 0) ? 0 : low, to = Math.max(high, level ?? high);
  const floor = form(from), span = form(to) - floor || 1;
  return { bent, from, to, place: (v) => Math.max(0, (form(v) - floor) / span) };
}

// About `count` times of day from low to high, at whole steps of a clock.
function clockTicks(low, high, count) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    ...[1, 2, 7, 14, 28, 56, 91, 182, 364].map((days) => days * 86400)];
  const rough = (high - low) / Math.max(1, count);
  const step = steps.find((s) => s >= rough) || Math.ceil(rough / 31449600) * 31449600;
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) found.push(t);
  return found;
}

// The first frame, and about `count` frames of round numbers, as seconds of the axis of frames.
const frameTicks = (from_s, to_s, count) =>
  [...(from_s === 0 ? [0] : []), ...ticks(from_s + 1, to_s, count).map((t) => t - 1)].filter((t) => Number.isInteger(t));

// A value on an axis with so much from one label to the next.
function stepped(value, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (Math.abs(value) >= 1e6 || digits > 5) return number(value, 4);
  return value.toFixed(digits).replace("-", "−");
}

// A label as fine as the step between labels asks for.
function tickText(recording, s, step_s) {
  if (counted(recording)) return frameNumber(s);
  if (step_s >= 86400) return recording.began === null ? `${Math.round(s / 86400)} d` : dateOf(timeAt(recording, s) + 1);
  if (recording.began === null) return report.recordings.length > 1 && s === 0 ? "0:00" : elapsed(s, step_s < 2);
  const text = clockOf(timeAt(recording, s) + 1e-3, step_s < 2);
  return step_s >= 60 ? text.slice(0, 5) : text.slice(0, step_s < 2 ? 10 : 8);
}

// The end of a name tells recordings apart: there the recorder puts the time.
function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let from = 1;
  while (from < text.length && context.measureText(`…${text.slice(from)}`).width > width) from++;
  return `…${text.slice(from)}`;
}

// The recording that is heard `s` seconds into all recordings laid end to end.
function recordingAt(s) {
  let low = 0, high = report.recordings.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (report.recordings[middle].offset_s <= s) low = middle; else high = middle - 1;
  }
  return low;
}
