// The map: every stretch of sound as a dot, in two dimensions or in three that can be turned.

const cloud = (() => {
  const PALETTE = ["#4e79a7", "#e08a2e", "#59a14f", "#b07aa1", "#2f9e9a", "#d7a51e", "#d4605a", "#8f6b52", "#7b8fd4", "#93a83a",
    "#d37295", "#7f8c8d"];
  const canvas = byId("cloud-canvas");
  const start = () => ({ yaw: 0.6, pitch: 0.35, zoom: three && PICTURES ? 1.35 : 1, shift_x: 0, shift_y: 0 });
  let points = null;
  let three = false, pictured = false, colouring = PICTURES ? "score" : "cluster", only = null; // only: the one group to show, or null
  let camera = start();
  let size = null, hovered = -1, chosen = -1;

  // The strangest point within each event: those are ringed.
  function ringEvents() {
    const best = new Map();
    for (let i = 0; i < points.count; i++) {
      for (const event of report.recordings[points.recording[i]].events) {
        if (points.start_s[i] >= event.end_s || points.end_s[i] <= event.start_s) continue;
        const known = best.get(event);
        if (known === undefined || points.score[i] > points.score[known]) best.set(event, i);
      }
    }
    return best;
  }

  // --- colours -----------------------------------------------------------------------------------

  const groupColour = (group) => PALETTE[group % PALETTE.length];

  const groupName = (group) => points.packed.groups[group] ?? `group ${group + 1}`;

  function tints() {
    if (colouring === "cluster") {
      points.tint.set(points.cluster);
      return Array.from({ length: 256 }, (_, group) => channels(groupColour(group)));
    }
    const { low, high } = scoreRange(points);
    for (let i = 0; i < points.count; i++) {
      points.tint[i] = 255 * Math.min(1, Math.max(0, (points.score[i] - low) / (high - low)));
    }
    const stops = ["--ramp-0", "--ramp-1", "--ramp-2"].map((name) => channels(colour(name)));
    return Array.from({ length: 256 }, (_, k) => {
      const place = k / 127.5, from = Math.min(1, Math.floor(place));
      return stops[from].map((c, j) => c + (stops[from + 1][j] - c) * (place - from));
    });
  }

  // --- projection --------------------------------------------------------------------------------

  // A function from a place to [x, y, nearness] on screen, for the camera as it stands.
  function lens() {
    const { half } = points, { width, height } = size;
    const room = [width / 2 - 30, height / 2 - 26], reach = Math.max(...half);
    const scale = camera.zoom * (three ? (0.98 * Math.min(...room)) / Math.hypot(...half) : Math.min(room[0] / half[0], room[1] / half[1]));
    const middle_x = width / 2 + camera.shift_x, middle_y = height / 2 + camera.shift_y;
    const cy = Math.cos(camera.yaw), sy = Math.sin(camera.yaw), cp = Math.cos(camera.pitch), sp = Math.sin(camera.pitch);
    const seen = [0, 0, 0];
    return (a, b, c) => {
      if (!three) {
        seen[0] = middle_x + a * scale;
        seen[1] = middle_y - b * scale;
        return seen;
      }
      const across = a * cy + c * sy, away = c * cy - a * sy;
      const up = b * cp - away * sp, near = b * sp + away * cp;
      const larger = scale / Math.max(0.2, 1 - (0.22 * near) / reach);
      seen[0] = middle_x + across * larger;
      seen[1] = middle_y - up * larger;
      seen[2] = near / reach;
      return seen;
    };
  }

  function project() {
    const { xyz, x, y, depth, count } = points, look = lens();
    for (let i = 0; i < count; i++) {
      const seen = look(xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]);
      x[i] = seen[0];
      y[i] = seen[1];
      depth[i] = seen[2];
    }
  }

  // Far points first in 3-D (a counting sort by depth), strange ones last in 2-D.
  function drawingOrder() {
    if (!three) return points.byScore;
    sortInto(points.order, (i) => (points.depth[i] + 1.5) / 3);
    return points.order;
  }

  // --- drawing -----------------------------------------------------------------------------------

  const dotRadius = () => {
    const { count } = points;
    const base = count < 200 ? 5.5 : count < 1500 ? 4 : count < 10000 ? 3 : count < 60000 ? 2 : 1.3;
    return base * Math.min(2, Math.sqrt(camera.zoom));
  };

  function draw() {
    const started = performance.now();
    const height = Math.max(320, Math.min(580, innerHeight * 0.62));
    const fit = fitted(canvas, height);
    size = { width: fit.width, height };
    project();
    const image = fit.context.createImageData(canvas.width, canvas.height);
    drawDots(image, canvas.width / fit.width);
    fit.context.putImageData(image, 0, 0);
    drawRings(fit.context, pictured ? drawPictures(fit.context) : new Set());
    drawAxes(fit.context);
    canvas.dataset.drawnMs = (performance.now() - started).toFixed(1);
  }
  const redraw = oncePerFrame(draw);

  function drawDots(image, ratio) {
    const { count } = points;
    const opacity = count > 50000 ? 0.6 : 0.85;
    paintDots(image, {
      ...points, ratio, radius: dotRadius() * ratio, order: drawingOrder(),
      table: Float32Array.from(tints().flat()), background: channels(colour("--panel")),
      shown: (i) => only === null || points.cluster[i] === only,
      strength: (i) => (three ? opacity * Math.min(1, Math.max(0.4, 0.75 + 0.4 * points.depth[i])) : opacity),
    });
  }

  // Draws thumbnails in place of dots; returns which points they are of.
  function drawPictures(context) {
    const table = tints(), size = Math.min(96, (three ? 26 : 38) * Math.max(1, thumbnails.form) * Math.sqrt(camera.zoom));
    const ringed = new Map([...points.rings].map(([event, i]) => [i, colour(event === state.event ? "--ink" : "--rare")]));
    return new Set(thumbnails.paint(context, {
      ...points, size, order: drawingOrder(), spread: !three,
      larger: (i) => (three ? Math.max(0.5, 1 + 0.45 * points.depth[i]) : 1),
      shown: (i) => only === null || points.cluster[i] === only,
      rim: (i) => (ringed.has(i) ? [ringed.get(i), 3] : [`rgb(${table[points.tint[i]].map(Math.round)})`, 1.6]),
    }));
  }

  function drawRings(context, pictures) {
    const ring = (i, radius, style, width) => {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.arc(points.x[i], points.y[i], radius, 0, 7);
      context.stroke();
    };
    for (const [event, i] of points.rings) {
      if (pictures.has(i) || (only !== null && points.cluster[i] !== only)) continue;
      ring(i, event === state.event ? 10 : 6, colour(event === state.event ? "--ink" : "--rare"), event === state.event ? 2.5 : 1.5);
    }
    if (chosen >= 0) ring(chosen, 8, colour("--ink"), 2);
    if (hovered >= 0) ring(hovered, 7, colour("--ink"), 1);
  }

  // Which direction is which: labels at the rim in 2-D, a small cross of three in 3-D.
  function drawAxes(context) {
    const { width, height } = size;
    const share = (k) => `direction ${k + 1}, ${number(100 * (points.packed.explained[k] ?? 0), 2)} % of variance`;
    context.fillStyle = colour("--muted");
    if (!three) {
      context.textAlign = "right";
      context.fillText(`${share(0)} →`, width - 8, height - 9);
      context.save();
      context.translate(13, 8);
      context.rotate(-Math.PI / 2);
      context.fillText(`${share(1)} →`, 0, 0);
      context.restore();
      return;
    }
    drawBox(context, share);
  }

  // The twelve edges of the box that holds the dots; three of them are named.
  function drawBox(context, share) {
    const look = lens(), [a, b, c] = points.half;
    const corner = (k) => look(k & 1 ? a : -a, k & 2 ? b : -b, k & 4 ? c : -c).slice(0, 2);
    context.lineWidth = 1;
    for (let k = 0; k < 8; k++) {
      for (const bit of [1, 2, 4]) {
        if (k & bit) continue;
        context.strokeStyle = colour(k === 0 ? "--muted" : "--line");
        context.beginPath();
        context.moveTo(...corner(k));
        context.lineTo(...corner(k | bit));
        context.stroke();
      }
    }
    context.textAlign = "center";
    [1, 2, 4].forEach((bit, k) => {
      const from = corner(0), to = corner(bit);
      context.fillText(share(k).replace(" of variance", ""), (from[0] + to[0]) / 2, (from[1] + to[1]) / 2 + 14);
    });
  }

  function legend() {
    const box = byId("cloud-legend");
    if (colouring === "score") {
      const { low, high } = scoreRange(points);
      box.replaceChildren(element("span", {}, `score ${number(low)}`), element("span", { class: "ramp" }), element("span", {}, `${number(high)} and above`));
      return;
    }
    const counts = new Map();
    for (const group of points.cluster) counts.set(group, (counts.get(group) || 0) + 1);
    box.replaceChildren(...[...counts].sort((a, b) => a[0] - b[0]).map(([group, count]) => {
      const swatch = element("i");
      swatch.style.background = groupColour(group);
      const button = element("button", { type: "button", "aria-pressed": String(only === group), title: "Show this group alone" },
        swatch, `${groupName(group)} `, element("small", {}, count.toLocaleString("en")));
      button.addEventListener("click", () => { only = only === group ? null : group; legend(); redraw(); });
      return button;
    }));
  }

  // --- pointing ----------------------------------------------------------------------------------

  // The dot nearest to the pointer within 12 pixels, in 3-D rather one in front; -1 where none is.
  function pick(x, y) {
    let best = -1, least = 144;
    for (let i = 0; i < points.count; i++) {
      if (only !== null && points.cluster[i] !== only) continue;
      const dx = points.x[i] - x, dy = points.y[i] - y;
      const distance = dx * dx + dy * dy;
      if (distance > 144) continue;
      const cost = three ? distance - 20 * points.depth[i] : distance;
      if (cost < least) { least = cost; best = i; }
    }
    return best;
  }

  function wordsOn(i) {
    const recording = report.recordings[points.recording[i]], event = eventAt(i);
    if (PICTURES) {
      return [nameAt(recording, points.start_s[i]), `score ${number(points.score[i])}, ${groupName(points.cluster[i])}`,
        recording.began === null ? recording.name : `${recording.name}, ${moment(recording, points.start_s[i])}`,
        ...(event ? [`part of event ${event.rank}`] : [])];
    }
    const lines = [moment(recording, points.start_s[i]), `score ${number(points.score[i])}, ${groupName(points.cluster[i])}`,
      `${baseName(recording.name)}${recording.began === null ? "" : ` at ${elapsed(points.start_s[i])}`}, for ${lasting(points.end_s[i] - points.start_s[i])}`];
    if (event) lines.push(`part of event ${event.rank}`);
    return lines;
  }

  const eventAt = (i) => report.recordings[points.recording[i]].events
    .find((event) => points.start_s[i] < event.end_s && points.end_s[i] > event.start_s);

  function choose(i) {
    chosen = i;
    redraw();
    player.playAt(points.recording[i], points.start_s[i], points.end_s[i]);
    const event = eventAt(i);
    byId("cloud-readout").replaceChildren(thumbnails.picture(thumbnails.of(i)) ?? "", wordsOn(i).slice(0, 3).join(" · "));
    if (!event) return;
    const go = element("button", { type: "button", class: "link" }, `go to event ${event.rank}`);
    go.addEventListener("click", () => selectEvent(event, { scroll: true }));
    byId("cloud-readout").append(" · ", go);
  }

  function listen() {
    let grip = null;
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      grip = { x: e.offsetX, y: e.offsetY, camera: { ...camera }, moved: false };
    });
    canvas.addEventListener("pointermove", (e) => {
      if (grip) return drag(e, grip);
      const found = pick(e.offsetX, e.offsetY);
      canvas.style.cursor = found >= 0 ? "pointer" : "grab";
      if (found >= 0) showTip(wordsOn(found), e.clientX, e.clientY, thumbnails.picture(thumbnails.of(found))); else hideTip();
      if (found !== hovered) { hovered = found; redraw(); }
    });
    canvas.addEventListener("pointerup", (e) => {
      if (grip && !grip.moved) {
        const found = pick(e.offsetX, e.offsetY);
        if (found >= 0) choose(found);
      }
      grip = null;
    });
    canvas.addEventListener("pointercancel", () => { grip = null; });
    canvas.addEventListener("pointerleave", () => { hideTip(); if (hovered >= 0) { hovered = -1; redraw(); } });
    canvas.addEventListener("wheel", (e) => {
      if (!wheelIsOurs(e)) return;
      e.preventDefault();
      zoom(Math.exp(-Math.max(-1, Math.min(1, e.deltaY / 300))), e.offsetX, e.offsetY);
    }, { passive: false });
    canvas.addEventListener("keydown", keys);
  }

  function drag(e, grip) {
    const dx = e.offsetX - grip.x, dy = e.offsetY - grip.y;
    if (Math.hypot(dx, dy) > 4) grip.moved = true;
    if (!grip.moved) return;
    hideTip();
    canvas.style.cursor = "grabbing";
    if (three && !e.shiftKey) {
      camera.yaw = grip.camera.yaw + dx * 0.008;
      camera.pitch = Math.max(-1.55, Math.min(1.55, grip.camera.pitch + dy * 0.008));
    } else {
      camera.shift_x = grip.camera.shift_x + dx;
      camera.shift_y = grip.camera.shift_y + dy;
    }
    redraw();
  }

  // Zooms so that what is under (x, y) stays there.
  function zoom(factor, x = size.width / 2, y = size.height / 2) {
    const next = Math.min(60, Math.max(0.3, camera.zoom * factor)), real = next / camera.zoom;
    camera.shift_x = x - size.width / 2 - (x - size.width / 2 - camera.shift_x) * real;
    camera.shift_y = y - size.height / 2 - (y - size.height / 2 - camera.shift_y) * real;
    camera.zoom = next;
    redraw();
  }

  function keys(e) {
    const turn = (dx, dy) => {
      if (three) { camera.yaw += dx * 0.12; camera.pitch = Math.max(-1.55, Math.min(1.55, camera.pitch + dy * 0.12)); }
      else { camera.shift_x -= dx * 40; camera.shift_y -= dy * 40; }
      redraw();
    };
    const act = { ArrowLeft: () => turn(-1, 0), ArrowRight: () => turn(1, 0), ArrowUp: () => turn(0, -1), ArrowDown: () => turn(0, 1),
      "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), Home: reset }[e.key];
    if (act) { e.preventDefault(); act(); }
  }

  function reset() { camera = start(); redraw(); }

  function dimensions(to) {
    three = to;
    camera = start();
    byId("cloud-2d").setAttribute("aria-pressed", String(!three));
    byId("cloud-3d").setAttribute("aria-pressed", String(three));
    describe();
    redraw();
  }

  function pictures(to) {
    pictured = to;
    byId("cloud-dots").setAttribute("aria-pressed", String(!pictured));
    byId("cloud-pictures").setAttribute("aria-pressed", String(pictured));
    redraw();
  }

  function describe() {
    const { total } = points.packed;
    canvas.setAttribute("aria-label", `Map of ${points.count} ${SAID.unit} in ${three ? "three" : "two"} dimensions. `
      + `Arrow keys ${three ? "turn" : "move"}, plus and minus zoom.`);
    byId("cloud-hint").textContent = `${SAID.dots} ${three ? "Drag to turn, scroll" : "Scroll"} to zoom, ${SAID.click}.`
      + (thumbnails.any && thumbnails.count < points.count ? ` ${thumbnails.count.toLocaleString("en")} of them carry a picture.` : "")
      + (total > points.count ? ` ${points.count.toLocaleString("en")} of ${total.toLocaleString("en")} are shown.` : "");
  }

  function open() {
    if (!report.points || !unpack(report.points.cluster).length) return;
    points = openPoints(report.points);
    points.rings = ringEvents();
    thumbnails.open(points);
    byId("cloud-as").hidden = !thumbnails.any;
    byId("cloud-colour").value = colouring;
    byId("cloud-dots").addEventListener("click", () => pictures(false));
    byId("cloud-pictures").addEventListener("click", () => pictures(true));
    byId("cloud").hidden = false;
    byId("cloud-2d").addEventListener("click", () => dimensions(false));
    byId("cloud-3d").addEventListener("click", () => dimensions(true));
    byId("cloud-in").addEventListener("click", () => zoom(1.4));
    byId("cloud-out").addEventListener("click", () => zoom(1 / 1.4));
    byId("cloud-reset").addEventListener("click", reset);
    byId("cloud-colour").addEventListener("change", (e) => { colouring = e.target.value; only = null; legend(); redraw(); });
    for (const what of ["theme", "resize", "select", "thumbnails"]) on(what, redraw);
    listen();
    legend();
    describe();
    draw();
  }
  return { open, points: () => points };
})();
