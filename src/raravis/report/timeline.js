// The timeline: scores of all recordings, laid end to end, from the whole collection down to a window.

const timeline = (() => {
  const HEIGHT = 232, LEFT = 40, RIGHT = 6, TOP = 30, BOTTOM = 34;
  const canvas = byId("timeline-canvas");
  const recordings = report.recordings;
  let view = { from: 0, to: Math.max(heard_s, 1e-3) };
  let size = { width: 1, height: HEIGHT };
  let pointer = null;
  let marked = []; // events on screen: { event, x }

  const plotWidth = () => Math.max(1, size.width - LEFT - RIGHT);
  const xOf = (s) => LEFT + ((s - view.from) / (view.to - view.from)) * plotWidth();
  const sOf = (x) => view.from + ((x - LEFT) / plotWidth()) * (view.to - view.from);

  function draw() {
    const fit = fitted(canvas, HEIGHT);
    size = { width: fit.width, height: HEIGHT };
    const { context } = fit;
    const scale = scoreScale(state.scorer);
    const yOf = (v) => HEIGHT - BOTTOM - scale.place(v) * (HEIGHT - BOTTOM - TOP);
    drawGround(context);
    drawScoreAxis(context, scale, yOf);
    drawScores(context, yOf);
    drawLevel(context, yOf);
    drawEvents(context);
    drawHead(context);
    drawPointer(context);
    describe();
  }
  const redraw = oncePerFrame(draw);

  // The recordings that reach into the view.
  function* inView() {
    for (let r = recordingAt(view.from); r < recordings.length && recordings[r].offset_s < view.to; r++) yield r;
  }

  // Alternating bands, one a recording, with its name where there is room, and the time axis.
  function drawGround(context) {
    context.textBaseline = "top";
    let free = LEFT;
    dated = { day: null, free: 0 };
    for (const r of inView()) {
      const { offset_s, duration_s, name } = recordings[r];
      const from = Math.max(LEFT, xOf(offset_s)), to = Math.min(size.width - RIGHT, xOf(offset_s + duration_s));
      if (r % 2 && to - from > 3) {
        context.fillStyle = colour("--band");
        context.fillRect(from, TOP - 8, to - from, HEIGHT - TOP - BOTTOM + 8);
      }
      if (to - from > 90) {
        context.fillStyle = colour("--muted");
        context.textAlign = "left";
        context.fillText(shortened(context, baseName(name).replace(/\.\w+$/, ""), to - from - 12), from + 6, 4);
      }
      free = drawTimes(context, r, from, to, free);
    }
  }

  // Ticks inside wide recordings, the start of narrow ones; returns where the next label may begin.
  function drawTimes(context, r, from, to, free) {
    const recording = recordings[r], perPixel = (view.to - view.from) / plotWidth();
    const wide = to - from > 150;
    const first_s = Math.max(0, view.from - recording.offset_s);
    const last_s = Math.min(recording.duration_s, view.to - recording.offset_s);
    const base = recording.began === null ? 0 : (recording.began / 1000) % 86400;
    const places = !wide ? [0] : counted(recording) ? frameTicks(first_s, last_s, (to - from) / 96)
      : clockTicks(base + first_s, base + last_s, (to - from) / 96).map((t) => t - base);
    const step = places.length > 1 ? places[1] - places[0] : wide ? perPixel * 96 : 60;
    for (const s of places) {
      const x = xOf(recording.offset_s + s);
      if (x < LEFT - 1 || x > size.width - RIGHT + 1) continue;
      const text = tickText(recording, s, step);
      const width = context.measureText(text).width;
      const at = Math.min(Math.max(wide ? x - width / 2 : x, LEFT), size.width - RIGHT - width);
      if (at < free) continue;
      free = at + width + 14;
      context.fillStyle = colour("--line-strong");
      context.fillRect(x, HEIGHT - BOTTOM, 1, 4);
      context.fillStyle = colour("--muted");
      context.textAlign = "left";
      context.fillText(text, at, HEIGHT - BOTTOM + 7);
      if (recording.began !== null && step < 86400) drawDay(context, timeAt(recording, s), at);
    }
    return free;
  }

  // A date stands under the first label in view and wherever another day begins, if there is room.
  let dated = { day: null, free: 0 };
  function drawDay(context, time, at) {
    const day = Math.floor(time / 86400e3);
    if (day === dated.day || at < dated.free) return;
    const text = dateOf(time);
    context.fillText(text, at, HEIGHT - BOTTOM + 20);
    dated = { day, free: at + context.measureText(text).width + 14 };
  }

  function drawScoreAxis(context, scale, yOf) {
    const { high, level } = state.scorer;
    const values = scale.bent ? decades(level, high) : ticks(scale.from, scale.to, 4);
    context.textAlign = "right";
    context.textBaseline = "middle";
    let lastY = Infinity;
    for (const v of values) {
      const y = yOf(v);
      if (lastY - y < 15) continue;
      lastY = y;
      context.fillStyle = colour("--line");
      context.fillRect(LEFT, Math.round(y), plotWidth(), 1);
      context.fillStyle = colour("--muted");
      context.fillText(number(v), LEFT - 7, y);
    }
  }

  // For each column of pixels the highest and the mean score of what falls in it.
  function columns() {
    const { first, from, to, score } = state.scorer;
    const count = Math.ceil(plotWidth());
    const high = new Float32Array(count).fill(-Infinity), sum = new Float64Array(count), many = new Uint32Array(count);
    const perSecond = plotWidth() / (view.to - view.from);
    let windows = 0;
    for (const r of inView()) {
      for (let i = first[r]; i < first[r + 1]; i++) {
        if (to[i] < view.from || from[i] > view.to || !Number.isFinite(score[i])) continue;
        windows++;
        const a = Math.max(0, Math.floor((from[i] - view.from) * perSecond));
        const b = Math.min(count - 1, Math.max(a, Math.ceil((to[i] - view.from) * perSecond) - 1));
        for (let c = a; c <= b; c++) {
          if (score[i] > high[c]) high[c] = score[i];
          sum[c] += score[i];
          many[c]++;
        }
      }
    }
    return { high, mean: (c) => sum[c] / many[c], count, crowded: windows > 1.5 * count };
  }

  // Filled up to the highest score of each column. Where windows can be told apart they have an
  // outline, where they are crowded the mean stands darker within.
  function drawScores(context, yOf) {
    const { high, mean, count, crowded } = columns();
    const floor = HEIGHT - BOTTOM, alarm = yOf(state.scorer.level ?? Infinity);
    const bar = (x, from, to, quiet, rare) => {
      const top = Math.min(from, to), bottom = Math.max(from, to);
      context.fillStyle = quiet;
      if (bottom > alarm) context.fillRect(x, Math.max(top, alarm), 1, bottom - Math.max(top, alarm));
      context.fillStyle = rare;
      if (top < alarm) context.fillRect(x, top, 1, Math.min(bottom, alarm) - top);
    };
    const line = colour("--score"), soft = colour(crowded ? "--score-haze" : "--score-soft");
    const rare = colour("--rare"), rareSoft = crowded ? rare : colour("--rare-soft");
    for (let c = 0; c < count; c++) {
      if (high[c] === -Infinity) continue;
      const top = yOf(high[c]);
      bar(LEFT + c, top, floor, soft, rareSoft);
      if (crowded) {
        bar(LEFT + c, yOf(mean(c)), floor, line, rare);
        continue;
      }
      const before = c > 0 && high[c - 1] > -Infinity ? yOf(high[c - 1]) : floor;
      bar(LEFT + c, Math.abs(before - top) < 1.5 ? top + 1.5 : before, top, line, rare);
    }
  }

  function drawLevel(context, yOf) {
    const { level } = state.scorer;
    if (level === null) return;
    const y = Math.round(yOf(level)) + 0.5;
    context.strokeStyle = colour("--rare");
    context.setLineDash([4, 4]);
    context.beginPath();
    context.moveTo(LEFT, y);
    context.lineTo(size.width - RIGHT, y);
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "right";
    context.textBaseline = "bottom";
    if (plotWidth() < 500) return;
    const word = "alarm level", wide = context.measureText(word).width;
    context.fillStyle = colour("--panel");
    context.globalAlpha = 0.8;
    context.fillRect(size.width - RIGHT - wide - 6, y - 15, wide + 6, 14);
    context.globalAlpha = 1;
    context.fillStyle = colour("--rare");
    context.fillText(word, size.width - RIGHT - 2, y - 2);
  }

  function drawEvents(context) {
    marked = [];
    const dot = colour("--rare"), chosen = colour("--ink");
    for (const event of report.events) {
      const at = recordings[event.recording].offset_s + event.peak_s;
      if (at < view.from || at > view.to) continue;
      const x = xOf(at), selected = event === state.event;
      marked.push({ event, x });
      const offset = recordings[event.recording].offset_s;
      const from = xOf(offset + event.start_s), to = xOf(offset + event.end_s);
      if (to - from > 3 || selected) {
        context.fillStyle = selected ? colour("--chosen") : colour("--rare-soft");
        context.fillRect(from - 1, TOP - 8, Math.max(3, to - from + 2), HEIGHT - TOP - BOTTOM + 8);
      }
      context.fillStyle = selected ? chosen : dot;
      context.beginPath();
      context.arc(x, TOP - 8, selected ? 5 : 3.5, 0, 7);
      context.fill();
    }
  }

  function drawHead(context) {
    const now = player.position();
    if (!now) return;
    const x = xOf(recordings[now.recording].offset_s + now.at_s);
    if (x < LEFT || x > size.width - RIGHT) return;
    context.fillStyle = colour("--ink");
    context.fillRect(x - 0.5, TOP - 8, 1.5, HEIGHT - TOP - BOTTOM + 8);
  }

  function drawPointer(context) {
    if (pointer === null) return;
    context.fillStyle = colour("--line-strong");
    context.fillRect(pointer, TOP - 8, 1, HEIGHT - TOP - BOTTOM + 8);
  }

  // --- what lies under the pointer ---------------------------------------------------------------

  // The strangest window that is drawn within a pixel of `s`, or -1.
  function windowAt(s) {
    const { first, from, to, score } = state.scorer, r = recordingAt(s);
    const reach = (view.to - view.from) / plotWidth();
    let best = -1;
    for (let i = first[r]; i < first[r + 1]; i++) {
      if (to[i] >= s - reach && from[i] <= s + reach && (best < 0 || score[i] > score[best])) best = i;
    }
    return best;
  }

  function eventNear(x) {
    const near = marked.filter((mark) => Math.abs(mark.x - x) < 8);
    near.sort((a, b) => Math.abs(a.x - x) - Math.abs(b.x - x) || a.event.rank - b.event.rank);
    return near.length ? near[0].event : null;
  }

  function linesAt(x) {
    const s = Math.min(heard_s, Math.max(0, sOf(x)));
    const r = recordingAt(s), recording = recordings[r], at = s - recording.offset_s;
    const i = windowAt(s), event = eventNear(x);
    const lines = [moment(recording, at), i < 0 ? "nothing was scored here" : `score ${number(state.scorer.score[i])}`];
    if (PICTURES) lines.push(i < 0 || recording.began === null ? `${recording.name}, frame ${frameNumber(at)}` : `${recording.name}, ${nameAt(recording, at)}`);
    else if (recording.began !== null) lines.push(`${baseName(recording.name)} at ${elapsed(at)}`);
    else if (recordings.length > 1) lines.push(baseName(recording.name));
    if (event) lines.push(`event ${event.rank}`);
    return lines;
  }

  // The thumbnail of the strangest frame under the pointer, where there is one.
  function pictureAt(x) {
    const s = Math.min(heard_s, Math.max(0, sOf(x))), r = recordingAt(s), i = thumbnails.any ? windowAt(s) : -1;
    return i < 0 ? null : thumbnails.picture(thumbnails.at(r, state.scorer.start[i]), 2);
  }

  function describe() {
    const { level, name } = state.scorer;
    canvas.setAttribute("aria-label", `Timeline of ${name} over ${recordings.every(counted) ? manyFrames(heard_s) : `${lasting(heard_s)} ${SAID.all}`}, `
      + `${report.events.length} events, alarm level ${number(level)}. Arrow keys move, plus and minus zoom.`);
  }

  // --- moving and zooming ------------------------------------------------------------------------

  function show(from, to) {
    const least = Math.min(heard_s, shortest_s), span = Math.min(heard_s, Math.max(least, to - from));
    const start = Math.min(Math.max(0, from), heard_s - span);
    view = { from: start, to: start + span };
    redraw();
  }
  function zoom(factor, x = LEFT + plotWidth() / 2) {
    const s = sOf(x), span = (view.to - view.from) * factor, share = (x - LEFT) / plotWidth();
    show(s - share * span, s + (1 - share) * span);
  }
  const pan = (share) => show(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
  const showRecording = (r) => show(recordings[r].offset_s, recordings[r].offset_s + recordings[r].duration_s);

  canvas.addEventListener("wheel", (e) => {
    if (!wheelIsOurs(e)) return;
    const sideways = Math.abs(e.deltaX) > Math.abs(e.deltaY);
    if (!sideways && e.deltaY > 0 && view.to - view.from >= heard_s * 0.999) return;
    e.preventDefault();
    if (sideways) pan(e.deltaX / plotWidth());
    else zoom(Math.exp(Math.max(-1, Math.min(1, e.deltaY / 300))), e.offsetX);
  }, { passive: false });

  let grip = null;
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    grip = { x: e.offsetX, view, moved: false };
  });
  canvas.addEventListener("pointermove", (e) => {
    pointer = e.offsetX;
    if (grip) {
      const dx = e.offsetX - grip.x;
      if (Math.abs(dx) > 4) grip.moved = true;
      const shift = (-dx / plotWidth()) * (grip.view.to - grip.view.from);
      if (grip.moved) show(grip.view.from + shift, grip.view.to + shift);
    }
    showTip(linesAt(e.offsetX), e.clientX, e.clientY, pictureAt(e.offsetX));
    canvas.style.cursor = grip?.moved ? "grabbing" : eventNear(e.offsetX) ? "pointer" : "crosshair";
    redraw();
  });
  canvas.addEventListener("pointerup", (e) => {
    if (grip && !grip.moved) pick(e.offsetX);
    grip = null;
  });
  canvas.addEventListener("pointercancel", () => { grip = null; });
  canvas.addEventListener("pointerleave", () => { pointer = null; hideTip(); redraw(); });
  canvas.addEventListener("keydown", (e) => {
    const act = { ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), "+": () => zoom(0.5), "=": () => zoom(0.5),
      "-": () => zoom(2), Home: () => show(0, view.to - view.from), End: () => show(heard_s, heard_s + view.to - view.from) }[e.key];
    if (act) { e.preventDefault(); act(); }
  });

  // A click chooses the event under it, else plays from there to the end of the window.
  function pick(x) {
    const event = eventNear(x);
    if (event) {
      selectEvent(event, { scroll: true });
      player.playClip(event.original, "heard");
      return;
    }
    const s = Math.min(heard_s, Math.max(0, sOf(x))), r = recordingAt(s);
    const at = s - recordings[r].offset_s;
    player.playAt(r, at, Math.min(recordings[r].duration_s, at + 10));
  }

  function openMembers() {
    const box = byId("scorers");
    report.scorers[0].open = state.scorer;
    if (report.scorers.length < 2) { box.hidden = true; return; }
    report.scorers.forEach((packed, k) => {
      const button = element("button", { type: "button", "aria-pressed": String(k === 0) }, packed.name);
      button.addEventListener("click", () => {
        if (!packed.open) packed.open = openScorer(packed);
        state.scorer = packed.open;
        for (const other of box.children) other.setAttribute("aria-pressed", String(other === button));
        tell("scorer", state.scorer);
      });
      box.append(button);
    });
  }

  function open() {
    if (!recordings.length) return;
    byId("timeline").hidden = false;
    openMembers();
    byId("timeline-in").addEventListener("click", () => zoom(0.5));
    byId("timeline-out").addEventListener("click", () => zoom(2));
    byId("timeline-all").addEventListener("click", () => show(0, heard_s));
    byId("timeline-readout").textContent = state.scorer.run > 1
      ? `Each point is the strangest of ${state.scorer.run} neighbouring ${SAID.unit}.` : "";
    for (const what of ["scorer", "theme", "resize", "playhead", "playing"]) on(what, redraw);
    on("select", ({ event }) => {
      const at = recordings[event.recording].offset_s + event.peak_s, span = view.to - view.from;
      if (at < view.from || at > view.to) show(at - span / 2, at + span / 2); else redraw();
    });
    draw();
  }
  return { open, showRecording, linesAt, view: () => view, xOf };
})();
