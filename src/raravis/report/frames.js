// Frames: what each camera saw, what was expected, and the heat laid over it.

const CAMERAS = { colour: "Colour", grey: "Grey", celsius: "Thermal" };
const TALLEST = 340; // pixels on the page

const webp = (data) => `data:image/webp;base64,${data}`;

// Grey levels of a thermal picture, decoded once for each of "picture" and "expected".
async function levelsOf(view, which) {
  view.levels ??= {};
  view.levels[which] ??= (async () => {
    const image = new Image();
    image.src = webp(view[which]);
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    return { width: image.width, height: image.height, levels: data.filter((_, i) => i % 4 === 0) };
  })();
  return view.levels[which];
}

// One picture of a view: an <img>, or a canvas where temperatures are coloured. `veiled`: grey,
// with the heat over it.
class Photo {
  constructor(view, which, { label, veiled = false, tallest = TALLEST }) {
    Object.assign(this, { view, which, pixels: null });
    this.thermal = view.camera === "celsius" && !veiled;
    this.base = this.thermal ? element("canvas", { role: "img", "aria-label": label })
      : element("img", { src: webp(view[which]), alt: label, decoding: "async", draggable: "false" });
    this.cross = element("i", { class: "cross", hidden: "" });
    this.box = element("div", { class: `photo${veiled ? " veiled" : ""}` }, this.base,
      veiled ? element("img", { class: "veil", src: webp(view.heat), alt: "", decoding: "async", draggable: "false" }) : null, this.cross);
    const [width, height] = view.size;
    this.box.style.aspectRatio = `${width} / ${height}`;
    this.box.style.maxWidth = `${Math.round((tallest * width) / height)}px`;
    if (Math.max(width, height) < 100) this.box.classList.add("coarse");
    this.box.photo = this;
    if (this.thermal) Photo.thermals.add(this);
  }

  async draw() {
    this.pixels = await levelsOf(this.view, this.which);
    const { width, height, levels } = this.pixels, table = colourTable(state.colours, 256);
    const image = new ImageData(width, height);
    for (let i = 0; i < levels.length; i++) {
      const from = 3 * levels[i];
      image.data[4 * i] = table[from];
      image.data[4 * i + 1] = table[from + 1];
      image.data[4 * i + 2] = table[from + 2];
      image.data[4 * i + 3] = 255;
    }
    this.base.width = width;
    this.base.height = height;
    this.base.getContext("2d").putImageData(image, 0, 0);
  }

  // The temperature at shares of the width and the height; null where none was measured.
  degreesAt(x, y) {
    if (!this.pixels) return null;
    const { width, height, levels } = this.pixels, { low, high } = this.view;
    const level = levels[Math.min(height - 1, Math.floor(y * height)) * width + Math.min(width - 1, Math.floor(x * width))];
    return low + (level / 255) * (high - low);
  }

  // The colours and what they stand for: a canvas that follows the choice of colours.
  legend() {
    const bar = element("canvas", { width: 64, height: 8, "aria-hidden": "true" });
    this.refreshLegend = () => {
      const table = colourTable(state.colours, 64), context = bar.getContext("2d");
      for (let i = 0; i < 64; i++) {
        context.fillStyle = `rgb(${table[3 * i]},${table[3 * i + 1]},${table[3 * i + 2]})`;
        context.fillRect(i, 0, 1, 8);
      }
    };
    this.refreshLegend();
    return element("span", { class: "colour-bar" }, degrees(this.view.low), bar, `${degrees(this.view.high)} °C`);
  }
}

Photo.thermals = new Set();
const degrees = (value) => value.toFixed(1).replace("-", "−");

const redrawThermals = () => {
  for (const one of Photo.thermals) {
    one.draw();
    if (one.refreshLegend) one.refreshLegend();
  }
};
on("colours", redrawThermals);
on("theme", redrawThermals);

const frames = (() => {
  const has = (test) => report.events.some((event) => event.original.frame?.views.some(test));

  // All pictures of an event: for each camera what was seen, what was expected, and where.
  function figures(event) {
    const { frame } = event.original;
    if (!frame || !frame.views.some((view) => view.picture)) {
      return element("p", { class: "missing" }, frame?.views.length ? "To keep the page small, the picture is not embedded."
        : "The picture could not be read again.");
    }
    const made = frame.views.filter((view) => view.picture).map((view) => ofView(view, frame, event));
    const widest = Math.max(...made.map((some) => some.length));
    const columns = made.length > 1 && widest <= 2 ? 2 * widest : Math.max(widest, 2);
    const box = element("div", { class: `figures frames of-${columns}` }, ...made.flat());
    box.addEventListener("pointermove", (e) => point(e, box, frame));
    box.addEventListener("pointerleave", () => unpoint(box));
    return box;
  }

  function ofView(view, frame, event) {
    const camera = frame.views.length > 1 ? CAMERAS[view.camera] : "", about = `${frame.name}, event ${event.rank}`;
    const made = [figure(view, "picture", "seen", camera || "Picture", about)];
    if (view.expected) made.push(figure(view, "expected", "expected", "Expected", about));
    if (view.heat) made.push(figure(view, "picture", "standing", "What stands out", about));
    return made;
  }

  function figure(view, which, role, title, about) {
    const photo = new Photo(view, which, { veiled: role === "standing", label: `${title}: ${about}` });
    const scale = role === "standing" ? element("span", { class: "colour-bar", title: "from what is usual to the strangest place" },
      element("small", {}, "usual"), element("i", { class: "heat-ramp" }), element("small", {}, "most"))
      : photo.thermal ? photo.legend() : null;
    if (photo.thermal) Photo.seen.observe(photo.box);
    const made = element("figure", { class: role }, element("figcaption", {}, element("span", {}, title), scale), photo.box);
    made.style.maxWidth = photo.box.style.maxWidth;
    if (parseFloat(made.style.maxWidth) < 230) made.classList.add("narrow");
    return made;
  }

  // Pointing at a place shows the same place in every picture of the event.
  function point(e, box, frame) {
    const under = e.target.closest(".photo");
    if (!under) return unpoint(box);
    const frameOf = under.getBoundingClientRect();
    const x = Math.min(1, Math.max(0, (e.clientX - frameOf.left) / frameOf.width));
    const y = Math.min(1, Math.max(0, (e.clientY - frameOf.top) / frameOf.height));
    const lines = [`${percent(x)} across, ${percent(y)} down`];
    for (const other of box.querySelectorAll(".photo")) {
      const { cross } = other.photo, value = other.photo.thermal ? other.photo.degreesAt(x, y) : null;
      cross.hidden = false;
      cross.style.left = `${100 * x}%`;
      cross.style.top = `${100 * y}%`;
      if (value !== null) lines.push(`${other.photo.which === "expected" ? "expected " : ""}${degrees(value)} °C`);
    }
    showTip([frame.name, ...lines], e.clientX, e.clientY);
  }

  function unpoint(box) {
    hideTip();
    for (const other of box.querySelectorAll(".photo")) other.photo.cross.hidden = true;
  }

  function neighbour(event, clip) {
    const recording = report.recordings[clip.recording], { frame } = clip;
    const shown = frame.views.filter((view) => view.picture).map((view) => {
      const photo = new Photo(view, "picture", { label: `Ordinary frame ${frame.name}, for event ${event.rank}`, tallest: 130 });
      if (photo.thermal) Photo.seen.observe(photo.box);
      return photo.box;
    });
    const time = timeAt(recording, clip.start_s);
    return element("figure", {}, element("div", { class: "side-by-side" }, ...shown),
      element("figcaption", {}, element("span", { class: "called", title: `${recording.name}, ${frame.name}` }, frame.name,
        element("small", {}, [time === null ? null : moment(recording, clip.start_s), clip.score === null ? null : `score ${number(clip.score, 2)}`]
          .filter(Boolean).join(" · ")))));
  }

  // How strongly the heat covers the picture.
  let shown = 80;
  function veil(value) {
    byId("events-heat").value = value;
    document.documentElement.style.setProperty("--veil", value / 100);
  }
  function toggle() {
    const now = Number(byId("events-heat").value);
    if (now) shown = now;
    veil(now ? 0 : shown);
  }

  function open() {
    byId("heat-label").hidden = !has((view) => view.heat);
    byId("colours-label").hidden = report.kind !== "sound" && !has((view) => view.camera === "celsius");
    byId("events-heat").addEventListener("input", (e) => veil(e.target.value));
    veil(shown);
  }
  return { open, figures, neighbour, toggle };
})();

// Thermal pictures are coloured when they come near the screen.
Photo.seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && !target.photo.pixels) target.photo.draw();
  }
}, { rootMargin: "900px" });
