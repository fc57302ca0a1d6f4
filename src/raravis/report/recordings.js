// Many recordings at a glance: by day and hour, and as a list of small timelines.

const days = (() => {
  const LEFT = 90, RIGHT = 12, TOP = 26;
  const canvas = byId("days-canvas");
  const clocked = report.recordings.map((recording, r) => ({ recording, r }))
    .filter(({ recording }) => recording.began !== null);
  let grid = null; // { rows: [day], row_of, from_h, to_h, width, row_px }

  // Days on record, and the hours of the day that any of them covers.
  function layout(width) {
    const seen = new Set();
    let from_h = 24, to_h = 0;
    for (const { recording } of clocked) {
      const end = recording.began + recording.duration_s * 1000;
      for (let t = Math.floor(recording.began / 86400e3); t * 86400e3 < end; t++) {
        seen.add(t);
        from_h = Math.min(from_h, Math.max(0, (recording.began - t * 86400e3) / 3600e3));
        to_h = Math.max(to_h, Math.min(24, (end - t * 86400e3) / 3600e3));
      }
    }
    const rows = [...seen].sort((a, b) => a - b);
    const from = Math.floor(from_h), to = Math.max(from + 1, Math.ceil(to_h));
    const row_px = Math.max(2, Math.min(26, Math.floor(560 / rows.length)));
    return { rows, rowOf: new Map(rows.map((day, k) => [day, k])), from_h: from, to_h: to, width, row_px };
  }

  const plotWidth = () => grid.width - LEFT - RIGHT;
  const tallness = () => (grid.row_px > 5 ? grid.row_px - 3 : grid.row_px);
  const columnOf = (time) => (((time % 86400e3) / 3600e3 - grid.from_h) / (grid.to_h - grid.from_h)) * plotWidth();

  // For each day and column of pixels the highest score and the recording it is in (-1: none).
  function cells() {
    const count = Math.ceil(plotWidth());
    const made = grid.rows.map(() => ({ high: new Float32Array(count).fill(-Infinity), which: new Int32Array(count).fill(-1) }));
    const { first, start, end, score } = state.scorer;
    const put = (time_from, time_to, value, r) => {
      const row = made[grid.rowOf.get(Math.floor(time_from / 86400e3))];
      if (!row) return;
      const a = Math.max(0, Math.floor(columnOf(time_from)));
      const b = Math.min(count - 1, a + Math.max(1, Math.round((time_to - time_from) / 3600e3 / (grid.to_h - grid.from_h) * plotWidth())));
      for (let c = a; c <= b; c++) {
        if (value > row.high[c]) row.high[c] = value;
        if (row.which[c] < 0 || value >= row.high[c]) row.which[c] = r;
      }
    };
    for (const { recording, r } of clocked) {
      for (let s = 0; s < recording.duration_s; s += 600) {
        put(recording.began + s * 1000, recording.began + Math.min(s + 600, recording.duration_s) * 1000, -Infinity, r);
      }
      for (let i = first[r]; i < first[r + 1]; i++) {
        put(recording.began + start[i] * 1000, recording.began + end[i] * 1000, score[i], r);
      }
    }
    return made;
  }

  function draw() {
    grid = layout(Math.max(1, canvas.parentElement.clientWidth));
    const height = TOP + grid.rows.length * grid.row_px + 8;
    const { context } = fitted(canvas, height);
    grid.cells = cells();
    context.textBaseline = "middle";
    drawHours(context, height);
    grid.rows.forEach((day, k) => drawDay(context, day, k));
    drawChosen(context);
    canvas.setAttribute("aria-label", `Highest scores by day and hour, ${grid.rows.length} days.`);
  }

  function drawHours(context, height) {
    context.textAlign = "center";
    const step = [0.25, 0.5, 1, 2, 3, 6, 12].find((hours) => hours * plotWidth() >= 52 * (grid.to_h - grid.from_h)) ?? 24;
    for (let hour = grid.from_h; hour <= grid.to_h; hour += step) {
      const x = LEFT + ((hour - grid.from_h) / (grid.to_h - grid.from_h)) * plotWidth();
      context.fillStyle = colour("--line");
      context.fillRect(x, TOP - 3, 1, height - TOP - 4);
      context.fillStyle = colour("--muted");
      context.fillText(`${two(hour % 24)}:${two((hour % 1) * 60)}`, Math.min(x, grid.width - 18), 14);
    }
  }

  function drawDay(context, day, k) {
    const y = TOP + k * grid.row_px, tall = tallness();
    if (k === 0 || grid.row_px >= 12 || (new Date(day * 86400e3).getUTCDate() === 1 && k * grid.row_px >= 14)) {
      context.fillStyle = colour("--muted");
      context.textAlign = "left";
      context.fillText(dateOf(day * 86400e3), 12, y + tall / 2);
    }
    const { high, which } = grid.cells[k];
    const level = state.scorer.level ?? state.scorer.high;
    const heard = colour("--heard"), rare = colour("--rare"), quiet = colour("--score");
    for (let c = 0; c < high.length; c++) {
      if (which[c] < 0) continue;
      context.fillStyle = heard;
      context.fillRect(LEFT + c, y, 1, tall);
      if (high[c] === -Infinity) continue;
      context.globalAlpha = high[c] >= level ? 1 : Math.max(0, Math.min(0.85, high[c] / level)) ** 1.5;
      context.fillStyle = high[c] >= level ? rare : quiet;
      context.fillRect(LEFT + c, y, 1, tall);
      context.globalAlpha = 1;
    }
  }

  function drawChosen(context) {
    const event = state.event;
    const time = event && timeAt(report.recordings[event.recording], event.peak_s);
    if (!time) return;
    const k = grid.rowOf.get(Math.floor(time / 86400e3));
    context.strokeStyle = colour("--ink");
    context.lineWidth = 1.5;
    context.strokeRect(LEFT + columnOf(time) - 4, TOP + k * grid.row_px - 2, 8, tallness() + 4);
  }

  function under(e) {
    const k = Math.floor((e.offsetY - TOP) / grid.row_px), c = Math.floor(e.offsetX - LEFT);
    if (k < 0 || k >= grid.rows.length || c < 0 || c >= plotWidth()) return null;
    for (const near of [0, -1, 1, -2, 2]) {
      const r = grid.cells[k].which[c + near] ?? -1;
      if (r >= 0) {
        const hours = grid.from_h + ((c + near) / plotWidth()) * (grid.to_h - grid.from_h);
        return { r, high: grid.cells[k].high[c + near], time: grid.rows[k] * 86400e3 + hours * 3600e3 };
      }
    }
    return null;
  }

  canvas.addEventListener("pointermove", (e) => {
    const cell = under(e);
    canvas.style.cursor = cell ? "pointer" : "default";
    if (!cell) return hideTip();
    const score = cell.high > -Infinity ? `highest score ${number(cell.high)}` : "nothing was scored here";
    showTip([`${dateOf(cell.time)}, ${clockOf(cell.time).slice(0, 5)}`, score, baseName(report.recordings[cell.r].name)], e.clientX, e.clientY);
  });
  canvas.addEventListener("pointerleave", hideTip);
  canvas.addEventListener("click", (e) => {
    const cell = under(e);
    if (cell) timeline.showRecording(cell.r);
  });

  function open() {
    if (clocked.length < 2 && !(clocked.length && heard_s > 3 * 3600)) return;
    const long_s = (state.scorer.end[0] - state.scorer.start[0]) / state.scorer.run;
    if (long_s > 3 * 3600 || layout(1).rows.length > 800) return; // nothing to see within a day
    byId("days-block").hidden = false;
    draw();
    for (const what of ["scorer", "theme", "resize", "select"]) on(what, oncePerFrame(draw));
  }
  return { open };
})();

const recordingList = (() => {
  const list = byId("recordings-list");
  const rows = [];

  function row(recording, r) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const high = element("span", { class: "num" });
    const count = recording.events.length;
    const button = element("button", { type: "button" },
      element("span", { class: "name", title: recording.name }, recording.name),
      element("span", { class: "when" }, recording.began === null ? long(recording, recording.duration_s) : `${moment(recording, 0)}`),
      element("span", { class: "spark" }, canvas), high,
      element("span", { class: count ? "count some" : "count" }, count ? `${count} event${count > 1 ? "s" : ""}` : ""));
    button.addEventListener("click", () => {
      timeline.showRecording(r);
      byId("timeline").scrollIntoView({ behavior: "smooth", block: "start" });
    });
    const item = element("li", {}, button);
    item.redraw = () => {
      spark(canvas, r);
      const best = state.scorer.best[r];
      high.textContent = best > -Infinity ? number(best) : "";
    };
    seen.observe(item);
    return { item, recording, r };
  }

  // Draws rows as they come into sight.
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      target.near = isIntersecting;
      if (isIntersecting) target.redraw();
    }
  }, { rootMargin: "200px" });

  // A line of the highest score per pixel, all rows on one scale.
  function spark(canvas, r) {
    const { context, width, height } = fitted(canvas, 22);
    const { first, start, end, score, high, level } = state.scorer;
    const columns = new Float32Array(width).fill(-Infinity);
    const scale = (width - 1) / report.recordings[r].duration_s;
    for (let i = first[r]; i < first[r + 1]; i++) {
      const b = Math.min(width - 1, Math.floor(end[i] * scale));
      for (let c = Math.floor(start[i] * scale); c <= b; c++) columns[c] = Math.max(columns[c], score[i]);
    }
    const top = Math.min(high, 3 * (level || high)) || 1;
    for (let c = 0; c < width; c++) {
      if (columns[c] === -Infinity) continue;
      const tall = Math.max(1.5, Math.min(1, Math.max(0, columns[c] / top)) * height);
      context.fillStyle = colour(columns[c] >= (level ?? Infinity) ? "--rare" : "--score");
      context.fillRect(c, height - tall, 1, tall);
    }
  }

  function arrange() {
    const order = byId("recordings-order").value, eventful = byId("recordings-eventful").checked;
    const by = {
      time: (a, b) => a.r - b.r,
      score: (a, b) => state.scorer.best[b.r] - state.scorer.best[a.r],
      name: (a, b) => a.recording.name.localeCompare(b.recording.name),
    }[order];
    list.replaceChildren(...rows.filter((one) => !eventful || one.recording.events.length).sort(by).map((one) => one.item));
  }

  function open() {
    if (report.recordings.length < 2) return;
    byId("recordings-block").hidden = false;
    byId("recordings-summary").textContent = `All ${report.recordings.length.toLocaleString("en")} recordings`;
    byId("recordings-block").addEventListener("toggle", () => {
      if (!rows.length) rows.push(...report.recordings.map(row));
      arrange();
    });
    for (const id of ["recordings-order", "recordings-eventful"]) byId(id).addEventListener("change", arrange);
    const redraw = () => rows.forEach(({ item }) => item.near && item.redraw());
    for (const what of ["scorer", "theme", "resize"]) on(what, redraw);
  }
  return { open };
})();
