// One sound at a time: an embedded clip, or a stretch of a recording that lies beside the page.

const player = (() => {
  const LEAST_S = 1.5; // what is shorter is not recognised by ear
  const audio = byId("player");
  let now = null; // { source, start_s, end_s, from_file, ... }; times in the recording

  // What is being heard, in seconds from the start of its recording; null where nothing is.
  const position = () =>
    now && { ...now, at_s: now.inFile ? audio.currentTime : now.start_s + audio.currentTime };

  function start(sound, at_s) {
    const same = now && now.source === sound.source;
    now = sound;
    if (!same) audio.src = sound.source;
    const seek = () => { audio.currentTime = sound.inFile ? at_s : Math.max(0, at_s - sound.start_s); };
    if (same && audio.readyState > 0) seek();
    else audio.addEventListener("loadedmetadata", () => now === sound && seek(), { once: true });
    setSpeed();
    audio.play().catch((error) => { if (error.name === "NotAllowedError") say("Press play to start the sound."); });
    tell("playing", now);
  }

  // Plays `clip` from `at_s` on. `role` says what it is: "heard", "expected", "ordinary".
  function playClip(clip, role, at_s = clip.start_s) {
    if (report.kind !== "sound") return;
    const recording = report.recordings[clip.recording];
    if (clip.sound) {
      start({ source: `data:audio/ogg;base64,${clip.sound}`, clip, role, recording: clip.recording,
              start_s: clip.start_s, end_s: clip.end_s, inFile: false }, at_s);
    } else if (role !== "expected" && recording.url) {
      playFile(clip.recording, at_s, clip.end_s, role, clip);
    } else {
      say("This sound is not embedded in the page, and where its recording lies is not known.");
    }
  }

  function playFile(recording, start_s, end_s, role, clip = null) {
    const { url, duration_s } = report.recordings[recording];
    const until_s = Math.min(duration_s, Math.max(end_s, start_s + LEAST_S));
    start({ source: url, clip, role, recording, start_s, end_s: until_s, inFile: true }, start_s);
  }

  // Plays a stretch of a recording from whatever holds it: an embedded clip, else the file itself.
  function playAt(recording, start_s, end_s) {
    if (report.kind !== "sound") return;
    const clip = embedded.find((c) => c.recording === recording && c.start_s <= start_s + 0.05
      && c.end_s >= Math.min(end_s, start_s + 0.5));
    if (clip) playClip(clip, "heard", start_s);
    else if (report.recordings[recording].url) playFile(recording, start_s, end_s, "heard");
    else say(`${report.recordings[recording].name} at ${elapsed(start_s)} is not embedded in this page, and where the recording lies is not known.`);
  }

  const embedded = report.events
    .flatMap((event) => [event.original, ...event.neighbours])
    .filter((clip) => clip.sound);

  function toggle() {
    if (!now) return false;
    if (now.inFile && audio.currentTime >= now.end_s) audio.currentTime = now.start_s;
    if (audio.paused) audio.play(); else audio.pause();
    return true;
  }

  function stop() {
    audio.pause();
    now = null;
    tell("playing", null);
  }

  // Slowed sound sinks in pitch, as from a slowed tape: so bats and insects can be heard.
  function setSpeed() {
    audio.preservesPitch = false;
    audio.playbackRate = Number(byId("events-speed").value);
  }

  audio.addEventListener("error", () => {
    if (!now) return;
    const { name, url } = report.recordings[now.recording];
    say(now.inFile
      ? `${name} could not be opened at ${url}. Put this page back beside the recordings to hear it.`
      : "This browser could not play the embedded sound (OGG).");
    stop();
  });
  audio.addEventListener("timeupdate", () => {
    if (now && now.inFile && audio.currentTime >= now.end_s) audio.pause();
  });
  for (const what of ["play", "pause", "ended"]) audio.addEventListener(what, () => tell("playing", now));
  byId("events-speed").addEventListener("change", setSpeed);

  return { playClip, playAt, toggle, stop, position, isPlaying: () => Boolean(now) && !audio.paused };
})();

// --- the bar at the foot of the page --------------------------------------------------------------

const ROLES = { heard: "heard", expected: "what was expected", ordinary: "an ordinary sound" };

on("playing", (now) => {
  byId("now").hidden = !now;
  if (!now) return;
  const recording = report.recordings[now.recording];
  byId("now-title").textContent = baseName(recording.name);
  byId("now-detail").textContent = `${moment(recording, now.start_s)} · ${ROLES[now.role]}`;
  byId("now-play").textContent = player.isPlaying() ? "❚❚" : "▶";
  if (player.isPlaying()) follow();
});
const follow = oncePerFrame(() => {
  const now = player.position();
  if (now) {
    const share = (now.at_s - now.start_s) / Math.max(1e-3, now.end_s - now.start_s);
    byId("now-done").style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  }
  tell("playhead", now);
  if (player.isPlaying()) requestAnimationFrame(follow);
});
byId("now-play").addEventListener("click", player.toggle);
byId("now-close").addEventListener("click", player.stop);

// A short message at the foot of the page, read out by screen readers.
let silence = 0;
function say(text) {
  const toast = byId("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(silence);
  silence = setTimeout(() => { toast.hidden = true; }, 8000);
}

// The small text that follows the pointer over a plot.
function showTip(lines, x, y, picture = null) {
  const tip = byId("tip");
  tip.replaceChildren(...(picture ? [picture] : []), ...lines.map((line, i) => element(i ? "span" : "b", {}, line)));
  tip.hidden = false;
  const left = Math.min(x + 14, innerWidth - tip.offsetWidth - 8);
  const top = y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${top}px`;
}
const hideTip = () => { byId("tip").hidden = true; };
