"""The page itself: template, style, scripts and data in one HTML file that needs no network.

What a person must be able to read without scripts (the summary, what could not be read, the
settings) is written as HTML here; the scripts draw the rest from the packed data.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from raravis.errors import RunError
from raravis.report.contents import Moment, Report, ReportEvent
from raravis.report.pack import PAGE_BYTES, pack

SCRIPTS = (
    "data.js",
    "words.js",
    "axes.js",
    "player.js",
    "spectrogram.js",
    "chart.js",
    "frames.js",
    "thumbnails.js",
    "timeline.js",
    "recordings.js",
    "events.js",
    "export.js",
    "dots.js",
    "points.js",
    "cloud.js",
    "main.js",
)


def write(report: Report, path: Path | str) -> Path:
    """Writes the report as one HTML file, whole or not at all, and returns where it lies.

    Raises ParameterError where the parts of the report do not fit together, RunError where the
    file cannot be written.
    """
    path = Path(path)
    page = render(report).encode("utf-8")
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise RunError(
            f"the report could not be written to {path}: {error.strerror}; "
            "make room or choose another folder"
        ) from error
    return path


def render(report: Report) -> str:
    """The report as HTML."""
    style = _asset("page.css")
    script = "(() => {\n'use strict';\n" + "\n".join(map(_asset, SCRIPTS)) + "})();\n"
    return Template(_asset("page.html")).substitute(
        policy=_policy(style, script),
        style=style,
        script=script,
        data=_json_for_html(pack(report, PAGE_BYTES - len(style) - len(script))),
        kind=escape(report.kind),
        title=escape(report.title),
        created=escape(report.created),
        lead=escape(lead(report)),
        summary=_summary(report),
        skipped=_skipped(report),
        remarks=_remarks(report),
        pruned=_pruned(report),
        settings=_settings(report.settings),
    )


def _asset(name: str) -> str:
    return resources.files("raravis.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Content security policy: this very style and script, embedded media, recordings on disk.

    `default-src 'none'` also closes fetch, frames, fonts, forms and objects.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "media-src data: file: 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _json_for_html(value: Any) -> str:
    """JSON in which nothing can end the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# --- what is read without scripts ----------------------------------------------------------------


def lead(report: Report) -> str:
    """The result in plain sentences."""
    long_s = sum(recording.duration_s for recording in report.recordings)
    heard = report.read or (
        f"{duration_words(long_s)} of sound in {_count(len(report.recordings), 'recording')}"
    )
    if not report.events:
        return f"raravis went through {heard} and found nothing that stands out."
    strangest = min(report.events, key=lambda event: event.rank)
    noun = "moment" if strangest.original.frame is None else "event"
    stand = f"{noun} stands" if len(report.events) == 1 else f"{noun}s stand"
    return (
        f"raravis went through {heard}. {len(report.events):,} {stand} out; the strangest is "
        f"{_where(strangest)} in {report.recordings[strangest.recording].name}."
    )


def _where(event: ReportEvent) -> str:
    """At which moment, or which frame."""
    frame = event.original.frame
    return f"at {_when(event)}" if frame is None else f"the frame {frame.name}"


def _when(event: ReportEvent) -> str:
    """Such as `05:12:33 on 22 May 2019`, or how far into the recording."""
    return _clock(event.start_time) or (
        f"row {event.rows[0]:,}" if event.rows else duration_words(event.start_s)
    )


def _clock(start_time: str | None) -> str | None:
    if start_time is None:
        return None
    time = datetime.fromisoformat(start_time)
    return f"{time:%H:%M:%S} on {time.day} {time:%b %Y}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration_words(seconds: float) -> str:
    """Such as `4 days 2 h`, `5 h 12 min`, `8 min 10 s` or `7.5 s`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 72:
        days, hours = divmod(hours, 24)
        return f"{days:,} days {hours} h" if hours else f"{days:,} days"
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def _summary(report: Report) -> str:
    return "\n".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        for label, value in report.summary
    )


def _skipped(report: Report) -> str:
    """A table of what could not be read, or nothing at all."""
    if not report.skipped:
        return ""
    rows = "\n".join(
        f"<tr><td>{escape(path)}</td><td>{escape(reason)}</td></tr>"
        for path, reason in report.skipped
    )
    return (
        '<details class="fold" id="skipped">\n'
        f"<summary>{_count(len(report.skipped), 'file')} could not be read</summary>\n"
        '<div class="scroll"><table><thead><tr><th scope="col">File</th>'
        f'<th scope="col">Why</th></tr></thead><tbody>\n{rows}\n</tbody></table></div></details>'
    )


def _remarks(report: Report) -> str:
    """A list of what was not read as it stood, or nothing at all."""
    if not report.remarks:
        return ""
    items = "".join(f"<li>{escape(remark)}</li>" for remark in report.remarks)
    return (
        '<details class="fold" id="remarks">\n'
        f"<summary>{_count(len(report.remarks), 'remark')} on what was read</summary>\n"
        f'<div class="scroll"><ul class="remarks">{items}</ul></div></details>'
    )


def _pruned(report: Report) -> str:
    """What was left out while learning, or nothing at all; of sound each moment can be heard."""
    if report.pruned is None:
        return ""
    said = "".join(f"<p>{escape(sentence)}.</p>" for sentence in report.pruned.said)
    rows = "\n".join(_moment(moment, report.kind) for moment in report.pruned.moments)
    table = (
        "<p>The strangest, by how far the loss was above the level:</p>\n"
        '<div class="scroll"><table><thead><tr><th scope="col">Recording</th>'
        '<th scope="col">When</th><th scope="col">For</th><th scope="col">Model</th>'
        '<th scope="col">Loss</th><th scope="col">Level</th></tr></thead><tbody>\n'
        f"{rows}\n</tbody></table></div>"
    )
    return (
        '<section id="pruned">\n<div class="section-head"><h2>Left out while learning</h2>'
        '<p class="hint">Too strange to be an example of what is ordinary, so the models named '
        "here did not learn from it. It was judged like all else. pruned.csv lists it.</p></div>\n"
        f"{said}\n{table if rows else ''}\n</section>"
    )


def _moment(moment: Moment, kind: str) -> str:
    """A row of the table of moments left out."""
    when = escape(_clock(moment.start_time) or f"{duration_words(moment.start_s)} into it")
    if kind == "sound" and moment.recording is not None:
        place = f'data-recording="{moment.recording}" data-start="{moment.start_s}"'
        when = (
            f'<button type="button" class="moment" {place} data-end="{moment.end_s}" '
            f'title="Listen from there">▶ {when}</button>'
        )
    cells = (
        escape(moment.name), when, escape(duration_words(moment.end_s - moment.start_s)),
        escape(moment.model), f"{moment.loss:.3g}", f"{moment.level:.3g}",
    )  # fmt: skip
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _settings(settings: Mapping[str, Any]) -> str:
    """A nested dict as nested definition lists; of a list of dicts each has its number."""
    rows = []
    for key, value in settings.items():
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            value = {str(place): one for place, one in enumerate(value, 1)}
        if isinstance(value, Mapping):
            rows.append(f"<div><dt>{escape(str(key))}</dt><dd>{_settings(value)}</dd></div>")
        else:
            text = json.dumps(value, default=str, ensure_ascii=False)
            shown = value if isinstance(value, str) else text
            rows.append(f"<div><dt>{escape(str(key))}</dt><dd>{escape(shown)}</dd></div>")
    return f"<dl>{''.join(rows)}</dl>" if rows else "<p>None were recorded.</p>"
