// The events that are shown, as tables that other programs read.

const exporting = (() => {
  // A table as text; a field that holds the separator, a quote or a line break is quoted.
  function table(rows, separator) {
    const field = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      return text.includes(separator) || /["\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    };
    return rows.map((row) => row.map(field).join(separator)).join("\n") + "\n";
  }

  const seconds = (s) => s.toFixed(3);

  function csv(chosen) {
    const named = PICTURES ? ["frame"] : [];
    const head = ["rank", "recording", ...named, "start_s", "end_s", "start_time", "peak_s", "score", "p_value", "mark", "note"];
    return table([head, ...chosen.map((event) => {
      const { mark, note } = marks.of(event);
      return [event.rank, report.recordings[event.recording].name, ...named.map(() => event.original.frame?.name), seconds(event.start_s), seconds(event.end_s),
        event.start_time, seconds(event.peak_s), event.score, event.p_value, mark, note];
    })], ",");
  }

  // Raven: times count through all files as opened in order; Begin File and File Offset name each.
  function raven(chosen) {
    const head = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
      "Begin File", "File Offset (s)", "Score", "Mark", "Note"];
    return table([head, ...chosen.map((event, k) => {
      const { mark, note } = marks.of(event), recording = report.recordings[event.recording];
      const bands = event.original.picture ? report.bands[event.original.picture.bands] : [0, 0];
      return [k + 1, "Spectrogram 1", 1, seconds(recording.offset_s + event.start_s), seconds(recording.offset_s + event.end_s),
        bands[0], bands[bands.length - 1], baseName(recording.name), seconds(event.start_s), event.score, mark, note];
    })], "\t");
  }

  // Audacity: a label track belongs to one recording.
  function audacity(chosen) {
    const plain = (text) => text.replace(/[\t\r\n]+/g, " ");
    return chosen.map((event) => {
      const { note } = marks.of(event);
      return [seconds(event.start_s), seconds(event.end_s), plain(note || `event ${event.rank}, score ${number(event.score)}`)].join("\t");
    }).join("\n") + "\n";
  }

  function save(name, text) {
    const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/plain" })) });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function saveAudacity() {
    const recording = (state.event || events.shown()[0])?.recording;
    if (recording === undefined) return;
    const chosen = events.shown().filter((event) => event.recording === recording);
    const { name } = report.recordings[recording];
    save(`${baseName(name).replace(/\.\w+$/, "")}.labels.txt`, audacity(chosen));
    if (report.recordings.length > 1) say(`Saved ${chosen.length} labels for ${baseName(name)}, the recording of the selected event.`);
  }

  function open() {
    byId("export-csv").addEventListener("click", () => save("events.csv", csv(events.shown())));
    byId("export-raven").addEventListener("click", () => save("events.raven.txt", raven(events.shown())));
    byId("export-audacity").addEventListener("click", saveAudacity);
  }
  return { open, csv, raven, audacity };
})();
