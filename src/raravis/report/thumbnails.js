// Thumbnails: small pictures of some points of the map, cut from one sheet.

const thumbnails = (() => {
  const packed = report.points?.thumbnails;
  const none = { of: () => -1, at: () => null, picture: () => null, paint: () => [], open: () => {}, any: false };
  if (!packed) return none;
  const { width, height, columns } = packed;
  const rows = unpack(packed.rows), cells = new Map(), moments = new Map();
  const sheet = new Image();
  let ready = false;

  const of = (point) => cells.get(point) ?? -1; // its cell on the sheet, -1 where it has none
  const at = (recording, start_s) => moments.get(`${recording} ${start_s}`) ?? -1;

  function draw(context, cell, x, y, wide, tall) {
    context.drawImage(sheet, (cell % columns) * width, Math.floor(cell / columns) * height, width, height, x, y, wide, tall);
  }

  // A cell as an element of its own, for the small text at the pointer; null where there is none.
  function picture(cell, times = 3) {
    if (cell < 0 || !ready) return null;
    const canvas = element("canvas", { width: width * times, height: height * times, class: "thumbnail", "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    draw(context, cell, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  // Draws the points of the map as pictures with a rim of their colour. `order`: the last one lies
  // on top. In two dimensions those that would hide a stranger one stay dots.
  function paint(context, { x, y, order, size, larger, shown, rim, spread }) {
    if (!ready) return [];
    const chosen = spread ? uncovered(x, y, order, size, shown) : Array.from(order).filter((i) => of(i) >= 0 && shown(i));
    for (const i of chosen) {
      const wide = size * larger(i), tall = (wide * height) / width;
      draw(context, of(i), x[i] - wide / 2, y[i] - tall / 2, wide, tall);
      [context.strokeStyle, context.lineWidth] = rim(i);
      context.strokeRect(x[i] - wide / 2, y[i] - tall / 2, wide, tall);
    }
    return chosen;
  }

  function uncovered(x, y, order, size, shown) {
    const tall = (size * height) / width, taken = new Map(), chosen = [];
    for (let n = order.length - 1; n >= 0; n--) {
      const i = order[n];
      if (of(i) < 0 || !shown(i)) continue;
      const column = Math.floor(x[i] / size), line = Math.floor(y[i] / tall);
      let free = true;
      for (let dx = -1; dx <= 1 && free; dx++) {
        for (let dy = -1; dy <= 1 && free; dy++) {
          free = !(taken.get(`${column + dx} ${line + dy}`) || [])
            .some((other) => Math.abs(x[other] - x[i]) < 0.8 * size && Math.abs(y[other] - y[i]) < 0.8 * tall);
        }
      }
      if (!free) continue;
      const key = `${column} ${line}`;
      taken.set(key, [...(taken.get(key) || []), i]);
      chosen.push(i);
    }
    return chosen.reverse();
  }

  async function open(points) {
    rows.forEach((row, cell) => {
      cells.set(row, cell);
      moments.set(`${points.recording[row]} ${points.start_s[row]}`, cell);
    });
    sheet.src = webp(packed.sheet);
    await sheet.decode();
    ready = true;
    tell("thumbnails");
  }
  return { of, at, picture, paint, open, any: true, count: rows.length, form: width / height };
})();
