// Charts of series: the channels that made an event, one above the other, and the score beneath.

function unpackFromBase({ base, offsets }) {
  return Float64Array.from(unpack(offsets), (offset) => base + offset);
}

class Chart {
  constructor(packed, event) {
    this.event = event;
    this.recording = report.recordings[event.recording];
    this.time = unpackFromBase(packed.time_s);
    const steps = this.time.subarray(1).map((s, i) => s - this.time[i]).sort();
    this.pause_s = 10 * (steps[steps.length >> 1] ?? 1); // lines break where nothing came for so long
    this.known = packed.known;
    this.lines = packed.lines.map((line) => ({ ...line, value: unpackFromBase(line.value) }));
    this.lines.push({ name: "score", value: unpackFromBase(packed.score), low: null, high: null, share: null,
      level: report.threshold.level });
    this.from_s = event.original.start_s;
    this.to_s = event.original.end_s;
    this.canvas = element("canvas", { role: "img", "aria-label":
      `${packed.lines.map((line) => line.name).join(", ")} and the score around event ${event.rank}` });
    this.box = element("div", { class: "chart" }, this.canvas);
    this.box.style.height = `${Math.max(130, (this.lines.length - 1) * Chart.TALL) + Chart.SCORE_TALL + Chart.FOOT}px`;
    this.box.chart = this;
    this.drawn = false;
    this.pointer = null;
    this.canvas.addEventListener("pointermove", (e) => this.hover(e));
    this.canvas.addEventListener("pointerleave", () => { this.pointer = null; hideTip(); this.draw(); });
    Chart.all.add(this);
    Chart.seen.observe(this.box);
    Chart.sized.observe(this.box);
  }

  draw() {
    const height = this.box.clientHeight;
    if (!height || !this.box.isConnected) return;
    const { context, width } = fitted(this.canvas, height);
    const small = height < 160; // in the contact sheet: the first channel and the score, no axes
    this.plot = small ? { left: 0, width } : { left: 52, width: width - 54 };
    const shown = small ? [this.lines[0], this.lines[this.lines.length - 1]] : this.lines;
    const room = small ? height : height - Chart.FOOT;
    const score = small ? height * 0.3 : Chart.SCORE_TALL;
    const tall = (room - score) / (shown.length - 1);
    shown.forEach((line, k) => {
      const last = k === shown.length - 1;
      this.drawPanel(context, line, k * tall, last ? score : tall, small);
    });
    if (!small) this.drawTimes(context, room);
    if (this.pointer !== null) {
      context.fillStyle = colour("--line-strong");
      context.fillRect(this.pointer, 0, 1, room);
    }
    this.drawn = true;
  }

  x(s) {
    return this.plot.left + (this.plot.width * (s - this.from_s)) / (this.to_s - this.from_s);
  }

  clamped(s) {
    return this.x(Math.min(this.to_s, Math.max(this.from_s, s)));
  }

  drawPanel(context, line, top, tall, small) {
    const { left, width } = this.plot;
    const last = line.level !== undefined;
    const head = small ? (last ? 2 : 15) : 17, bottom = top + tall - (small ? 2 : 5);
    const { low, high } = rangeOf(line);
    const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top - head);
    this.drawSpans(context, top + head - 1, bottom + 1);
    context.save();
    context.beginPath();
    context.rect(left, top + head - 2, width, bottom - top - head + 4);
    context.clip();
    if (line.low !== null) {
      context.fillStyle = colour("--usual");
      context.fillRect(left, y(line.high), width, Math.max(1, y(line.low) - y(line.high)));
    }
    if (last) this.drawLevel(context, y(line.level));
    this.drawLine(context, line, y);
    context.restore();
    if (small && last) return;
    if (!small) this.drawScale(context, low, high, y);
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillStyle = colour("--ink");
    const name = shortened(context, line.name, width * (small ? 1 : 0.7));
    context.fillText(name, left + 2, top + 2);
    if (small) return;
    context.fillStyle = colour("--muted");
    const beside = line.share !== null ? `${percent(line.share)} of the score` : last ? "dashed: alarm level" : "";
    context.fillText(beside, left + context.measureText(name).width + 12, top + 2);
  }

  // The event, and what the labels of the file call anomalous: a bar at the foot of each panel.
  drawSpans(context, top, bottom) {
    const { left, width } = this.plot;
    context.fillStyle = colour("--band");
    context.fillRect(left, top, width, bottom - top);
    const from = this.clamped(this.event.start_s), to = this.clamped(this.event.end_s);
    context.fillStyle = colour("--rare-soft");
    context.fillRect(from, top, Math.max(2, to - from), bottom - top);
    context.fillStyle = colour("--known");
    for (const [start_s, end_s] of this.known) {
      const a = this.clamped(start_s);
      context.fillRect(a, bottom - 3, Math.max(2, this.clamped(end_s) - a), 3);
    }
  }

  drawLevel(context, y) {
    context.strokeStyle = colour("--rare");
    context.lineWidth = 1;
    context.setLineDash([4, 4]);
    context.beginPath();
    context.moveTo(this.plot.left, Math.round(y) + 0.5);
    context.lineTo(this.plot.left + this.plot.width, Math.round(y) + 0.5);
    context.stroke();
    context.setLineDash([]);
  }

  // A line that is broken where values or rows are missing; a value alone is a dot.
  drawLine(context, { value, level }, y) {
    context.strokeStyle = colour(level === undefined ? "--score" : "--ink");
    context.fillStyle = context.strokeStyle;
    context.lineWidth = 1.3;
    context.lineJoin = "round";
    context.beginPath();
    let open = false;
    for (let i = 0; i < value.length; i++) {
      if (!Number.isFinite(value[i])) { open = false; continue; }
      if (this.time[i] - this.time[i - 1] > this.pause_s) open = false;
      const x = this.x(this.time[i]), at = y(value[i]);
      if (open) context.lineTo(x, at); else context.moveTo(x, at);
      if (!open && !Number.isFinite(value[i + 1])) context.fillRect(x - 1, at - 1, 2, 2);
      open = true;
    }
    context.stroke();
  }

  drawScale(context, low, high, y) {
    const { left } = this.plot;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const values = ticks(low, high, 3), step = values.length > 1 ? values[1] - values[0] : 1;
    for (const v of values) {
      context.fillStyle = colour("--line-strong");
      context.fillRect(left - 4, Math.round(y(v)), 4, 1);
      context.fillStyle = colour("--muted");
      context.fillText(stepped(v, step), left - 7, y(v));
    }
  }

  drawTimes(context, top) {
    const { left, width } = this.plot, { recording } = this;
    const base = recording.began === null ? 0 : (recording.began / 1000) % 86400;
    const places = clockTicks(base + this.from_s, base + this.to_s, width / 110).map((t) => t - base);
    const step = places.length > 1 ? places[1] - places[0] : this.to_s - this.from_s;
    context.textAlign = "left";
    context.textBaseline = "top";
    let day = null, free = left;
    for (const s of places) {
      const x = this.x(s), text = tickText(recording, s, step), wide = context.measureText(text).width;
      const at = Math.min(Math.max(x - wide / 2, left), left + width - wide);
      if (at < free) continue;
      free = at + wide + 10;
      context.fillStyle = colour("--line-strong");
      context.fillRect(x, top, 1, 4);
      context.fillStyle = colour("--muted");
      context.fillText(text, at, top + 7);
      const date = recording.began === null || step >= 86400 ? null : dateOf(timeAt(recording, s) + 1e-3);
      if (date === null || date === day) continue;
      day = date;
      context.fillText(date, Math.min(at, left + width - context.measureText(date).width), top + 20);
    }
  }

  hover(pointer) {
    if (!this.plot) return;
    const x = pointer.clientX - this.canvas.getBoundingClientRect().left;
    const s = this.from_s + ((x - this.plot.left) / this.plot.width) * (this.to_s - this.from_s);
    const i = nearest(this.time, s);
    if (i < 0 || x < this.plot.left) return hideTip();
    this.pointer = x;
    this.draw();
    const values = this.lines.map((line) => `${line.name}: ${number(line.value[i], 5)}`);
    showTip([moment(this.recording, this.time[i]), ...values], pointer.clientX, pointer.clientY);
  }
}

Chart.TALL = 88;
Chart.SCORE_TALL = 66;
Chart.FOOT = 36;
Chart.all = new Set();

// Charts are drawn when they come near the screen; drawn ones follow theme and width.
Chart.seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.chart.near = isIntersecting;
    if (isIntersecting && !target.chart.drawn) target.chart.draw();
  }
}, { rootMargin: "600px" });

Chart.sized = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.chart.drawn) target.chart.draw();
});

on("theme", () => {
  for (const one of Chart.all) {
    one.drawn = false;
    if (one.near) one.draw();
  }
});

// What a panel shows of its axis: all values, and the ordinary range or the alarm level as well,
// unless that would press the values flat.
function rangeOf({ value, low: usual_low, high: usual_high, level }) {
  let low = Infinity, high = -Infinity;
  for (const v of value) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) { low = usual_low ?? 0; high = usual_high ?? 1; }
  if (level !== undefined) { low = Math.min(0, low); high = Math.max(high, 1.15 * level); }
  else if (usual_low !== null && usual_high - usual_low < 4 * (high - low)) {
    low = Math.min(low, usual_low);
    high = Math.max(high, usual_high);
  }
  const room = (high - low) * 0.04 || Math.abs(high) * 0.01 || 1;
  return { low: level !== undefined ? low : low - room, high: high + room };
}

// The place of the moment nearest to `s` in `time`, which never falls; -1 where there is none.
function nearest(time, s) {
  let low = 0, high = time.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time[middle] < s) low = middle + 1; else high = middle;
  }
  return low > 0 && s - time[low - 1] < time[low] - s ? low - 1 : low;
}
