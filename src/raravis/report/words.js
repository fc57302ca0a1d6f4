// Numbers and times as people read them.

const two = (number) => String(Math.floor(number)).padStart(2, "0");

function number(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(1);
  return String(Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size + 1))))));
}

// What the page says of each kind of recordings.
const SAID = {
  sound: {
    common: "ordinary sound", ordinary: "ordinary stretches", unit: "windows", all: "of sound",
    dots: "Every dot is a stretch of sound; what sounds alike lies together.", click: "click a dot to listen",
    note: "Your note: species, source, …",
  },
  series: {
    common: "ordinary rows", ordinary: "ordinary rows", unit: "rows", all: "of rows",
    dots: "Every dot is a row; what was strange in the same channels lies together.", click: "click a dot to see what it is",
    note: "Your note: cause, action, …",
  },
  images: {
    common: "ordinary frames", ordinary: "ordinary frames", unit: "frames", all: "of frames",
    dots: "Every dot is a frame; what looks alike lies together.", click: "point at a dot to see the frame",
    note: "Your note: cause, action, …",
  },
}[report.kind === "pairs" ? "images" : report.kind];

// 7.25 -> "7.3 s", 75 -> "1:15", 3675 -> "1:01:15"; with tenths where `fine`.
function elapsed(seconds, fine = false) {
  if (seconds < 60) return `${fine ? seconds.toFixed(2) : Number(seconds.toFixed(1))} s`;
  const tenths = fine ? `.${Math.floor((seconds % 1) * 10)}` : "";
  const minutes = Math.floor(seconds / 60) % 60, rest = two(seconds % 60) + tenths;
  const hours = Math.floor(seconds / 3600);
  if (hours >= 72) return `${Math.floor(hours / 24)} d ${two(hours % 24)}:${two(minutes)}`;
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

// 05:12:33 from milliseconds, with tenths where `fine`.
function clockOf(time, fine = false) {
  const date = new Date(time);
  const text = date.toISOString().slice(11, fine ? 21 : 19);
  return text;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
function dateOf(time) {
  const date = new Date(time);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

// Frames without a clock are counted, one a second of the common axis.
const counted = (recording) => PICTURES && recording.began === null;
const frameNumber = (seconds) => (Math.floor(seconds + 1e-6) + 1).toLocaleString("en");
const nameAt = (recording, seconds) => recording.frames[frameIndex(recording, seconds)] ?? `frame ${frameNumber(seconds)}`;

const timeAt = (recording, seconds) =>
  recording.began === null ? null : recording.began + seconds * 1000;

// "22 May 2019, 05:12:33" where the clock is known, else "at 1:15 in the recording".
function moment(recording, seconds, { date = true, fine = false } = {}) {
  const time = timeAt(recording, seconds);
  if (time === null) return counted(recording) ? nameAt(recording, seconds) : elapsed(seconds, fine);
  return date ? `${dateOf(time)}, ${clockOf(time, fine)}` : clockOf(time, fine);
}

const baseName = (name) => name.split("/").pop();

// The p-value as a frequency: one stretch in how many.
function rarity(p) {
  if (p === null || !Number.isFinite(p)) return `how often ${SAID.common} would score this high is not known`;
  if (p >= 0.5) return `often reached in ${SAID.common}`;
  if (p < 1e-6) return `less than 1 in a million ${SAID.ordinary} scores this high`;
  const one = 1 / p, power = 10 ** Math.max(0, Math.floor(Math.log10(one)) - 1);
  const rounded = Math.round(one / power) * power;
  return `about 1 in ${rounded.toLocaleString("en")} ${SAID.ordinary} scores this high`;
}

function strength(score) {
  const level = report.threshold.level;
  if (score === null) return "no score";
  if (!(level > 0) || !(score > 0)) return `score ${number(score)}`;
  const times = score / level;
  const beside = times >= 1.05 ? `, ${number(times, 2)} times the alarm level`
    : times >= 1 ? ", just above the alarm level" : ", below the alarm level";
  return `score ${number(score)}${beside}`;
}

const percent = (share) => `${share > 0.995 && share < 1 ? 99 : Math.round(100 * share)} %`;

// How long something lasts: "7.5 s", "8 min 10 s", "3 h 5 min", "4 d 2 h".
function lasting(seconds) {
  if (seconds < 60) return elapsed(seconds);
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60);
  const both = (large, one, small, other) => (small ? `${large} ${one} ${small} ${other}` : `${large} ${one}`);
  if (seconds < 3600) return both(Math.floor(Math.round(seconds) / 60), "min", Math.round(seconds) % 60, "s");
  return hours < 72 ? both(hours, "h", minutes % 60, "min") : both(Math.floor(hours / 24), "d", hours % 24, "h");
}

// How long a stretch of a recording is: in time, or in frames where these are counted.
const long = (recording, seconds) => (counted(recording) ? manyFrames(Math.round(seconds)) : lasting(seconds));
const manyFrames = (count) => `${count.toLocaleString("en")} frame${count === 1 ? "" : "s"}`;

const signed = (value) => String(Math.round(value)).replace("-", "−");
const hertz = (hz) => (hz >= 1000 ? `${number(hz / 1000)} kHz` : `${Math.round(hz)} Hz`);

// An element with attributes, properties (in `props`) and children; text is never read as HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
