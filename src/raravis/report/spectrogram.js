// Spectrograms: grey levels from the page's data, coloured here, with axes in kHz and seconds.

const TICKS_HZ = [1000, 2000, 4000, 8000, 16000, 32000, 64000, 500, 200, 100, 10000, 5000, 3000, 6000, 12000,
  20000, 24000, 48000, 96000, 50];

// The levels of a picture: (bands, frames), the lowest band last, decoded once.
async function decode(picture) {
  if (picture.pixels) return picture.pixels;
  const image = new Image();
  image.src = `data:image/png;base64,${picture.png}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const levels = new Uint8Array(image.width * image.height);
  for (let i = 0; i < levels.length; i++) levels[i] = data[4 * i];
  picture.pixels = { levels, frames: image.width, bands: image.height };
  return picture.pixels;
}

// Where a frequency lies between the lowest (0) and the highest band (1), by the bands' own places.
function placeOf(hz, bands) {
  if (bands.length < 2 || hz < bands[0] || hz > bands[bands.length - 1]) return null;
  let k = 0;
  while (k < bands.length - 2 && bands[k + 1] < hz) k++;
  return (k + (hz - bands[k]) / (bands[k + 1] - bands[k])) / (bands.length - 1);
}

class Spectrogram {
  // clip: what a click plays, as `role`; event: whose span is marked; compact: a thumbnail, no axes.
  constructor(picture, { clip = null, role = "heard", event = null, compact = false, difference = false, label }) {
    Object.assign(this, { picture, clip, role, event, compact, difference });
    this.canvas = element("canvas", { role: "img", "aria-label": label });
    this.head = element("div", { class: "playhead", hidden: "" });
    this.box = element("div", { class: "spectrogram" }, this.canvas, this.head);
    this.drawn = false;
    this.canvas.addEventListener("pointermove", (e) => this.hover(e));
    this.canvas.addEventListener("pointerleave", hideTip);
    if (clip) this.canvas.addEventListener("click", (e) => this.playFrom(e));
    Spectrogram.all.add(this);
    Spectrogram.seen.observe(this.box);
    Spectrogram.sized.observe(this.box);
    this.box.spectrogram = this;
  }

  get margins() {
    return this.compact ? { left: 0, right: 0, top: 0, bottom: 0 } : { left: 34, right: 2, top: 7, bottom: 20 };
  }

  // Which colours, and how many decibels from the first to the last of them.
  scale() {
    const { low_db, high_db } = this.picture;
    const floor = this.difference ? low_db : low_db + (high_db - low_db) * state.floor;
    return { name: this.difference && state.colours === "magma" ? "viridis" : state.colours, low: floor, high: high_db };
  }

  async draw() {
    const pixels = await decode(this.picture);
    const height = this.box.clientHeight;
    if (!height || !this.box.isConnected) return;
    const { context, width } = fitted(this.canvas, height);
    const { left, right, top, bottom } = this.margins;
    this.plot = { left, top, width: width - left - right, height: height - top - bottom };
    context.imageSmoothingQuality = "high";
    context.drawImage(this.coloured(pixels), left, top, this.plot.width, this.plot.height);
    if (!this.compact) this.drawAxes(context);
    if (this.event) this.drawSpan(context);
    this.drawn = true;
  }

  coloured({ levels, frames, bands }) {
    const { name, low, high } = this.scale();
    const { low_db, high_db, levels: count } = this.picture;
    const table = colourTable(name, 256);
    const lookup = new Uint8Array(256);
    for (let level = 0; level < count; level++) {
      const db = low_db + (level / (count - 1)) * (high_db - low_db);
      lookup[level] = 255 * Math.min(1, Math.max(0, (db - low) / Math.max(1e-6, high - low)));
    }
    const canvas = document.createElement("canvas");
    canvas.width = frames;
    canvas.height = bands;
    const image = new ImageData(frames, bands);
    for (let i = 0; i < levels.length; i++) {
      const k = 3 * lookup[levels[i]];
      image.data[4 * i] = table[k];
      image.data[4 * i + 1] = table[k + 1];
      image.data[4 * i + 2] = table[k + 2];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  drawAxes(context) {
    const { left, top, width, height } = this.plot;
    const bands = report.bands[this.picture.bands];
    context.strokeStyle = colour("--line-strong");
    context.fillStyle = colour("--muted");
    context.textBaseline = "middle";
    context.textAlign = "right";
    const taken = [];
    for (const hz of TICKS_HZ) {
      const place = placeOf(hz, bands);
      if (place === null) continue;
      const y = top + (1 - place) * height;
      if (taken.some((other) => Math.abs(other - y) < 19)) continue;
      taken.push(y);
      this.tick(context, left - 4, y, left, y);
      context.fillText(String(hz / 1000), left - 6, y);
    }
    context.save();
    context.translate(7, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText("kHz", 0, 0);
    context.restore();
    context.textBaseline = "top";
    const long_s = this.picture.to_s - this.picture.from_s;
    for (const s of ticks(0, long_s, width / 60)) {
      const x = left + (s / long_s) * width;
      this.tick(context, x, top + height, x, top + height + 4);
      context.textAlign = s === 0 ? "left" : x > left + width - 14 ? "right" : "center";
      context.fillText(s === 0 ? "0 s" : number(s), x, top + height + 6);
    }
  }

  tick(context, x0, y0, x1, y1) {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  // A bar over the event's own stretch, and a notch at its strangest moment.
  drawSpan(context) {
    const { left, top, width } = this.plot;
    const { from_s, to_s } = this.picture;
    const x = (s) => left + width * Math.min(1, Math.max(0, (s - from_s) / (to_s - from_s)));
    const from = x(this.event.start_s), to = Math.max(x(this.event.end_s), from + 2);
    context.fillStyle = colour("--rare");
    context.fillRect(from, top - 6, to - from, 3);
    const peak = x(this.event.peak_s);
    context.beginPath();
    context.moveTo(peak - 4, top - 6);
    context.lineTo(peak + 4, top - 6);
    context.lineTo(peak, top);
    context.fill();
  }

  secondsAt(pointer) {
    const x = pointer.clientX - this.canvas.getBoundingClientRect().left;
    const share = Math.min(1, Math.max(0, (x - this.plot.left) / this.plot.width));
    return this.picture.from_s + share * (this.picture.to_s - this.picture.from_s);
  }

  playFrom(pointer) {
    if (this.plot) player.playClip(this.clip, this.role, this.compact ? this.clip.start_s : this.secondsAt(pointer));
  }

  hover(pointer) {
    if (!this.plot || !this.picture.pixels) return;
    const { levels, frames, bands } = this.picture.pixels;
    const box = this.canvas.getBoundingClientRect();
    const across = (pointer.clientX - box.left - this.plot.left) / this.plot.width;
    const down = (pointer.clientY - box.top - this.plot.top) / this.plot.height;
    if (across < 0 || across >= 1 || down < 0 || down >= 1) return hideTip();
    const level = levels[Math.floor(down * bands) * frames + Math.floor(across * frames)];
    const { low_db, high_db, levels: count } = this.picture;
    const db = low_db + (level / (count - 1)) * (high_db - low_db);
    const axis = report.bands[this.picture.bands];
    const hz = axis[Math.min(axis.length - 1, Math.floor((1 - down) * bands))];
    const s = this.secondsAt(pointer);
    const recording = report.recordings[this.clip ? this.clip.recording : this.event.recording];
    showTip([`${hertz(hz)}, ${signed(db)} dB`, moment(recording, s, { date: false, fine: true })],
      pointer.clientX, pointer.clientY);
  }

  // Moves the line that shows what is being heard.
  follow(now) {
    const shown = Boolean(this.plot && this.clip && now && now.clip === this.clip);
    this.head.hidden = !shown;
    if (!shown) return;
    const share = (now.at_s - this.picture.from_s) / (this.picture.to_s - this.picture.from_s);
    this.head.style.left = `${this.plot.left + this.plot.width * Math.min(1, Math.max(0, share))}px`;
    this.head.style.top = `${this.plot.top}px`;
    this.head.style.height = `${this.plot.height}px`;
  }

  legend() {
    const bar = element("canvas", { width: 64, height: 8, "aria-hidden": "true" });
    const low = element("span"), high = element("span");
    this.refreshLegend = () => {
      const { name, low: from, high: to } = this.scale();
      const table = colourTable(name, 64), context = bar.getContext("2d");
      for (let i = 0; i < 64; i++) {
        context.fillStyle = `rgb(${table[3 * i]},${table[3 * i + 1]},${table[3 * i + 2]})`;
        context.fillRect(i, 0, 1, 8);
      }
      low.textContent = signed(from);
      high.textContent = `${signed(to)} dB`;
    };
    this.refreshLegend();
    return element("span", { class: "colour-bar" }, low, bar, high);
  }
}

Spectrogram.all = new Set();

// Pictures are drawn when they come near the screen; drawn ones follow theme, colours and width.
Spectrogram.seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.spectrogram.near = isIntersecting;
    if (isIntersecting && !target.spectrogram.drawn) target.spectrogram.draw();
  }
}, { rootMargin: "600px" });

Spectrogram.sized = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.spectrogram.drawn) target.spectrogram.draw();
});

// Decodes all pictures while nobody waits, so that printing finds them ready.
function decodeAhead() {
  const waiting = [...Spectrogram.all].map((one) => one.picture);
  const whenIdle = window.requestIdleCallback || ((act) => setTimeout(act, 50));
  const next = () => { if (waiting.length) decode(waiting.pop()).then(() => whenIdle(next)); };
  whenIdle(next);
}

function redrawPictures() {
  for (const one of Spectrogram.all) {
    one.drawn = false;
    if (one.refreshLegend) one.refreshLegend();
    if (one.near) one.draw();
  }
}
on("colours", redrawPictures);
on("theme", redrawPictures);
on("playhead", (now) => { for (const one of Spectrogram.all) one.follow(now); });
on("playing", (now) => { if (!now) for (const one of Spectrogram.all) one.follow(null); });
