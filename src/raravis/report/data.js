// What the page is about: the packed report, unpacked once, and the state that its rooms share.

const byId = (id) => document.getElementById(id);
const report = JSON.parse(byId("report-data").textContent);

const ARRAYS = { f4: Float32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };

function unpack({ kind, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAYS[kind](bytes.buffer);
}

// Recordings laid end to end: `offset_s` is where each begins on the common axis of heard time.
let heard_s = 0;
for (const recording of report.recordings) {
  recording.offset_s = heard_s;
  recording.began = parseTime(recording.start_time);
  recording.events = [];
  heard_s += recording.duration_s;
}
for (const event of report.events) report.recordings[event.recording].events.push(event);

// Scores of one scorer: columns over all windows; `first[r]` is the first window of recording r.
// `from` and `to` are where a window is drawn: overlapping windows meet half-way.
function openScorer(packed) {
  const { counts: many, start_s, end_s } = { ...report.scorers[0], ...packed }; // the first one's where they are the same
  const counts = unpack(many), start = unpack(start_s), end = unpack(end_s), score = unpack(packed.score);
  const first = new Uint32Array(counts.length + 1);
  counts.forEach((count, r) => { first[r + 1] = first[r] + count; });
  const from = new Float64Array(score.length), to = new Float64Array(score.length);
  const best = new Float32Array(counts.length).fill(-Infinity);
  let low = Infinity, high = -Infinity;
  for (let r = 0; r < counts.length; r++) {
    const offset = report.recordings[r].offset_s;
    for (let i = first[r]; i < first[r + 1]; i++) {
      const before = i > first[r] ? end[i - 1] : -Infinity;
      const after = i + 1 < first[r + 1] ? start[i + 1] : Infinity;
      from[i] = offset + (before > start[i] ? (before + start[i]) / 2 : start[i]);
      to[i] = offset + (after < end[i] ? (after + end[i]) / 2 : end[i]);
      if (score[i] > best[r]) best[r] = score[i];
      if (score[i] < low) low = score[i];
      if (score[i] > high && score[i] < Infinity) high = score[i];
    }
  }
  return { name: packed.name, level: packed.level, run: packed.run, first, start, end, score, from, to, best, low, high };
}

// Which window of the main scorer holds this moment of a recording, counted within the recording.
function frameIndex(recording, seconds) {
  const { first, start } = report.scorers[0].open ?? state.scorer, r = report.recordings.indexOf(recording);
  let low = first[r], high = first[r + 1] - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (start[middle] <= seconds + 1e-3) low = middle; else high = middle - 1;
  }
  return low - first[r];
}

const state = {
  scorer: openScorer(report.scorers[0]),
  event: null,
  colours: "magma",
  floor: 0,
};

// The shortest stretch that a timeline shows.
const PICTURES = report.kind === "images" || report.kind === "pairs";
const shortest_s = report.kind === "sound" ? 2 : 20 * ((state.scorer.end[0] ?? 1) - (state.scorer.start[0] ?? 0));

// Rooms tell each other what happened: select, scorer, theme, colours, playing, marks.
const bus = new EventTarget();
const tell = (what, detail) => bus.dispatchEvent(new CustomEvent(what, { detail }));
const on = (what, act) => bus.addEventListener(what, (event) => act(event.detail));

function selectEvent(event, { scroll = false } = {}) {
  state.event = event;
  tell("select", { event, scroll });
}

// Clock times are shown as they were written, in the recorder's own zone, never in the reader's.
function parseTime(text) {
  const parts = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?/.exec(text || "");
  if (!parts) return null;
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  return Date.UTC(year, month - 1, day, hour, minute) + (second || 0) * 1000;
}

// Marks and notes live in this browser, under the title and date of this very report.
const marks = (() => {
  const key = `raravis ${report.title} ${report.created}`;
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem(key)) || {}; } catch { /* storage may be closed */ }
  const of = (event) => kept[event.rank] || {};
  const set = (event, change) => {
    kept[event.rank] = { ...of(event), ...change };
    try { localStorage.setItem(key, JSON.stringify(kept)); } catch { /* then only until closed */ }
    tell("marks", event);
  };
  return { of, set };
})();

// --- colours --------------------------------------------------------------------------------------

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function channels(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

// A table of `size` colours (r, g, b) from evenly spaced stops.
function colourTable(name, size) {
  let stops = report.colours[name].map(channels);
  if (name === "ink" && document.documentElement.dataset.theme === "dark") stops = stops.reverse();
  const table = new Uint8ClampedArray(size * 3);
  for (let i = 0; i < size; i++) {
    const place = (i / (size - 1)) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      table[i * 3 + c] = stops[k][c] + (stops[k + 1][c] - stops[k][c]) * (place - k);
    }
  }
  return table;
}

// --- canvases -------------------------------------------------------------------------------------

// Fits a canvas to its box at the screen's own resolution; returns its context in CSS pixels.
function fitted(canvas, height) {
  const width = Math.max(1, canvas.parentElement.clientWidth);
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  return { context, width, height };
}

// Calls `act` at most once a frame, however often it is asked for.
function oncePerFrame(act) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; act(); });
  };
}

// A wheel turned over a plot zooms it, unless the turn began as a scroll of the page.
let scrolledAt = 0;
addEventListener("scroll", () => { scrolledAt = performance.now(); }, { passive: true });
const wheelIsOurs = (event) => event.ctrlKey || performance.now() - scrolledAt > 350;
