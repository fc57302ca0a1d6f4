// The events: a card each, in any order, kept or dismissed, with pictures and sounds.

const events = (() => {
  const list = byId("events-list");
  const cards = new Map();
  let shown = report.events;

  function card(event) {
    const recording = report.recordings[event.recording];
    const made = element("article", { class: "card", tabindex: "-1", "aria-labelledby": `event-${event.rank}` },
      head(event, recording), figures(event),
      element("div", { class: "beneath" }, reasons(event), neighbours(event)), note(event));
    made.addEventListener("click", () => { if (state.event !== event) selectEvent(event); });
    cards.set(event, made);
    return made;
  }

  function head(event, recording) {
    const time = timeAt(recording, event.start_s), clocked = time !== null;
    const daily = event.rows && (event.original.end_s - event.original.start_s) / 86400 >= 60; // a row a day: no time of day
    const when = PICTURES ? titleOf(event, recording, clocked) : clocked ? (daily && time % 86400e3 === 0 ? [dateOf(time), ""] : [clockOf(time), dateOf(time)])
      : event.rows ? [`row ${event.rows[0].toLocaleString("en")}`, `at ${elapsed(event.start_s)}`] : [elapsed(event.start_s), "into the recording"];
    return element("header", {},
      element("span", { class: "rank", title: "rank" }, String(event.rank)),
      element("div", { class: "title" },
        element("h3", { id: `event-${event.rank}` }, when[0], element("small", {}, when[1])),
        element("p", { class: "where" }, place(event, recording, clocked)),
        element("p", { class: "strength" }, element("b", {}, strength(event.score)), ` · ${rarity(event.p_value)}`)),
      element("div", { class: "verdict", role: "group", "aria-label": "Your mark" },
        verdict(event, "kept", "★", "Keep (f)"), verdict(event, "dismissed", "✕", "Dismiss (x)")));
  }

  // A frame is called by its time where that is known, else by its name.
  function titleOf(event, recording, clocked) {
    const time = timeAt(recording, event.original.start_s);
    if (clocked) return [clockOf(time), dateOf(time)];
    return [baseName(event.original.frame?.name ?? nameAt(recording, event.peak_s)), `frame ${frameNumber(event.peak_s)}`];
  }

  // Where it is, and how long it lasts.
  function place(event, recording, clocked) {
    if (PICTURES) {
      const count = event.rows ? event.rows[1] - event.rows[0] + 1 : 1, name = event.original.frame?.name;
      return [recording.name, clocked && name ? name : null, count > 1 ? `the strangest of ${manyFrames(count)}` : null].filter(Boolean).join(", ");
    }
    const many = event.rows && event.rows[1] > event.rows[0] ? `rows ${event.rows.map((row) => row.toLocaleString("en")).join(" to ")}`
      : event.rows && `row ${event.rows[0].toLocaleString("en")}`;
    const at = many ? `, ${many}` : clocked ? ` at ${elapsed(event.start_s)}` : "";
    return `${recording.name}${at}, for ${lasting(event.end_s - event.start_s)}`;
  }

  function verdict(event, mark, sign, title) {
    const button = element("button", { type: "button", title, "aria-label": title, "aria-pressed": "false" }, sign);
    button.dataset.mark = mark;
    button.addEventListener("click", () => markAs(event, mark));
    return button;
  }

  function markAs(event, mark) {
    marks.set(event, { mark: marks.of(event).mark === mark ? null : mark });
  }

  function figures(event) {
    const about = `event ${event.rank}`;
    if (PICTURES) return frames.figures(event);
    if (report.kind === "series") return element("div", { class: "figures of-1" }, course(event));
    const made = [figure(event, event.original, "heard", "Heard", about)];
    if (event.reconstructed) made.push(figure(event, event.reconstructed, "expected", "Expected", about));
    if (event.error) made.push(difference(event, about));
    return element("div", { class: `figures of-${made.length}` }, ...made);
  }

  function figure(event, clip, role, title, about) {
    const play = element("button", { type: "button", class: "play", "aria-label": `Play: ${title.toLowerCase()}, ${about}` }, "▶");
    play.addEventListener("click", (e) => { e.stopPropagation(); selectEvent(event); player.playClip(clip, role); });
    const silent = !clip.sound && (role === "expected" || !report.recordings[clip.recording].url);
    const picture = clip.picture && new Spectrogram(clip.picture,
      { clip, role, event, label: `Spectrogram, ${title.toLowerCase()}, ${about}` });
    return element("figure", { class: role },
      element("figcaption", {}, silent ? null : play, element("span", {}, title), picture ? picture.legend() : null),
      picture ? picture.box : element("p", { class: "missing" }, "No picture is embedded."));
  }

  function course(event) {
    if (!event.original.chart) return element("p", { class: "missing" }, "The recording could not be read again, so there is no chart.");
    const chart = new Chart(event.original.chart, event);
    const key = (name, words) => element("span", { class: "key" }, element("i", { class: name }), words);
    return element("figure", { class: "course" },
      element("figcaption", {}, key("event", "event"), key("usual", "ordinary range"),
        chart.known.length ? key("known", "labelled anomalous in the file") : null), chart.box);
  }

  function difference(event, about) {
    const picture = new Spectrogram(event.error, { event, difference: true, label: `Difference between heard and expected, ${about}` });
    return element("figure", { class: "difference" },
      element("figcaption", {}, element("span", {}, "Difference"), picture.legend()), picture.box);
  }

  function reasons(event) {
    if (!event.reasons.length) return null;
    return element("ul", { class: "reasons" }, ...event.reasons.map((reason) => element("li", {}, reason)));
  }

  function neighbours(event) {
    if (!event.neighbours.length) return null;
    return element("div", { class: "neighbours" }, element("h4", {}, PICTURES ? "Ordinary frames most like it" : "Ordinary sounds most like it"),
      element("div", { class: "strip" }, ...event.neighbours.map((clip, k) => neighbour(event, clip, k))));
  }

  function neighbour(event, clip, k) {
    if (clip.frame) return frames.neighbour(event, clip);
    const recording = report.recordings[clip.recording], label = `Ordinary sound ${k + 1} for event ${event.rank}`;
    const picture = clip.picture && new Spectrogram(clip.picture, { clip, role: "ordinary", compact: true, label });
    const play = element("button", { type: "button", class: "play", "aria-label": `Play: ${label.toLowerCase()}` }, "▶");
    play.addEventListener("click", () => player.playClip(clip, "ordinary"));
    return element("figure", {}, picture ? picture.box : null,
      element("figcaption", {}, clip.sound || recording.url ? play : null,
        element("span", { title: `${recording.name}, ${moment(recording, clip.start_s)}` }, moment(recording, clip.start_s, { date: false }),
          element("small", {}, clip.score === null ? "" : `score ${number(clip.score, 2)}`))));
  }

  function note(event) {
    const field = element("input", { type: "text", placeholder: SAID.note, "aria-label": `Note on event ${event.rank}` });
    field.value = marks.of(event).note || "";
    field.addEventListener("change", () => marks.set(event, { note: field.value }));
    return element("div", { class: "note" }, field);
  }

  // --- order, filter, choice ---------------------------------------------------------------------

  const timeOf = (event) => {
    const recording = report.recordings[event.recording];
    return timeAt(recording, event.start_s) ?? recording.offset_s * 1000 + event.start_s * 1000;
  };
  const ORDERS = {
    rank: (a, b) => a.rank - b.rank,
    time: (a, b) => timeOf(a) - timeOf(b),
    hour: (a, b) => (timeOf(a) % 86400e3) - (timeOf(b) % 86400e3),
  };

  function matches(event, verdict, words) {
    const { mark, note: text } = marks.of(event);
    if (verdict === "unseen" ? mark : verdict && mark !== verdict) return false;
    const recording = report.recordings[event.recording];
    const all = [recording.name, event.original.frame?.name ?? "", moment(recording, event.start_s), text || "", ...event.reasons].join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  }

  function arrange() {
    const verdict = byId("events-verdict").value;
    const words = byId("events-find").value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = report.events.filter((event) => matches(event, verdict, words)).sort(ORDERS[byId("events-order").value]);
    list.replaceChildren(...shown.map((event) => cards.get(event) || card(event)));
    refreshMarks();
    const none = byId("events-none");
    none.hidden = shown.length > 0;
    none.textContent = report.events.length ? "No event matches." : "Nothing passed the alarm level.";
  }

  function refreshMarks() {
    for (const [event, made] of cards) {
      const { mark } = marks.of(event);
      made.classList.toggle("kept", mark === "kept");
      made.classList.toggle("dismissed", mark === "dismissed");
      for (const button of made.querySelectorAll(".verdict button")) {
        button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
      }
    }
  }

  function step(by) {
    if (!shown.length) return;
    const at = shown.indexOf(state.event);
    const next = shown[Math.min(shown.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    selectEvent(next, { scroll: true });
  }

  on("select", ({ event, scroll }) => {
    for (const [other, made] of cards) made.classList.toggle("selected", other === event);
    const made = cards.get(event);
    if (scroll && made?.isConnected) {
      made.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "nearest" });
      made.focus({ preventScroll: true });
    }
  });
  on("marks", refreshMarks);

  let nextNeighbour = 0;
  on("select", () => { nextNeighbour = 0; });

  const act = {
    next: () => step(1),
    previous: () => step(-1),
    keep: () => state.event && markAs(state.event, "kept"),
    dismiss: () => state.event && markAs(state.event, "dismissed"),
    play: () => state.event && player.playClip(state.event.original, "heard"),
    expected: () => state.event?.reconstructed && player.playClip(state.event.reconstructed, "expected"),
    neighbour: () => {
      const near = state.event?.neighbours;
      if (near?.length) player.playClip(near[nextNeighbour++ % near.length], "ordinary");
    },
    layout: () => layout(!list.classList.contains("sheet")),
  };

  function layout(sheet) {
    list.classList.toggle("sheet", sheet);
    byId("layout-sheet").setAttribute("aria-pressed", String(sheet));
    byId("layout-cards").setAttribute("aria-pressed", String(!sheet));
  }

  function open() {
    byId("events").hidden = false;
    byId("events-toolbar").hidden = !report.events.length;
    const colours = byId("events-colours");
    colours.append(...Object.keys(report.colours).map((name) => element("option", {}, name)));
    colours.addEventListener("change", () => { state.colours = colours.value; tell("colours"); });
    byId("events-floor").addEventListener("input", (e) => {
      state.floor = e.target.value / 100;
      byId("floor-value").textContent = state.floor ? `+${e.target.value} %` : "";
      tell("colours");
    });
    for (const id of ["events-order", "events-verdict"]) byId(id).addEventListener("change", arrange);
    byId("events-find").addEventListener("input", arrange);
    byId("layout-cards").addEventListener("click", () => layout(false));
    byId("layout-sheet").addEventListener("click", () => layout(true));
    frames.open();
    arrange();
  }
  return { open, act, shown: () => shown };
})();
