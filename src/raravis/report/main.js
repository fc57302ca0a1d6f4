// Opens the rooms of the page, and what belongs to all of them: theme, keys, width, printing.

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme-button").textContent = theme === "dark" ? "☀" : "☾";
  tell("theme", theme);
}
function switchTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(next);
  try { localStorage.setItem("raravis theme", next); } catch { /* then only for this visit */ }
}
function wantedTheme() {
  let kept = null;
  try { kept = localStorage.getItem("raravis theme"); } catch { /* storage may be closed */ }
  return kept || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

const KEYS = {
  j: events.act.next,
  k: events.act.previous,
  r: events.act.expected,
  n: events.act.neighbour,
  f: events.act.keep,
  x: events.act.dismiss,
  c: events.act.layout,
  h: frames.toggle,
  t: switchTheme,
  "?": () => byId("keys").showModal(),
  " ": () => { if (!player.toggle()) events.act.play(); },
};

addEventListener("keydown", (e) => {
  const typing = e.target.closest("input[type=text], input[type=search], textarea, select, dialog");
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === " " && e.target.closest("button, summary, a, input")) return;
  const act = KEYS[e.key];
  if (act) { e.preventDefault(); act(); }
});

let width = innerWidth;
addEventListener("resize", oncePerFrame(() => {
  if (innerWidth === width) return;
  width = innerWidth;
  tell("resize");
}));

// Paper is white, and shows pictures that never came near the screen.
let themeBefore = null;
addEventListener("beforeprint", () => {
  themeBefore = document.documentElement.dataset.theme;
  setTheme("light");
  for (const one of [...Spectrogram.all, ...Chart.all]) if (one.box.isConnected) one.draw();
});
addEventListener("afterprint", () => setTheme(themeBefore || "light"));

function leftOut() {
  const { pictures, sounds } = report.left_out;
  if (!pictures && !sounds) return "";
  const what = [sounds && `${sounds} sounds`, pictures && `${pictures} pictures`].filter(Boolean).join(" and ");
  if (PICTURES) return `To keep the page small, ${what} are not embedded.`;
  return `To keep the page small, ${what} are not embedded; sounds are then played from the recordings, where these can be reached.`;
}

document.documentElement.dataset.theme = wantedTheme();
byId("theme-button").textContent = wantedTheme() === "dark" ? "☀" : "☾";
byId("theme-button").addEventListener("click", switchTheme);
byId("keys-button").addEventListener("click", () => byId("keys").showModal());
byId("keys-close").addEventListener("click", () => byId("keys").close());
byId("left-out").textContent = leftOut();
for (const button of document.querySelectorAll("#pruned .moment")) {
  const { recording, start, end } = button.dataset;
  button.addEventListener("click", () => player.playAt(Number(recording), Number(start), Number(end)));
}
timeline.open();
days.open();
recordingList.open();
events.open();
exporting.open();
cloud.open();
decodeAhead();
// Milliseconds from the start of loading to the first complete drawing.
requestAnimationFrame(() => { document.documentElement.dataset.readyMs = performance.now().toFixed(0); });
