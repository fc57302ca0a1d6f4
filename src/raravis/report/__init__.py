"""The report: one HTML page with every rare event, what it looks and sounds like, and why.

`write(Report(...), path)` makes the page. It is a single file, asks no network for anything, and
works from a memory stick in the field as well as from a server.

    contents.py   what a report is made of: dataclasses of arrays and bytes
    pack.py       the same, packed for the page and kept under 15 MB (6 MB of pictures); with it
                  charts.py (series), frames.py (pictures), points.py (the map), columns.py (arrays)
    page.py       template + style + scripts + data -> one file, written whole or not at all
    page.html     the frame; page.css the looks, every colour named at its top
    *.js          plain scripts, joined in the order of `page.SCRIPTS`: first what all rooms use
                  (data, words, axes, player, spectrogram), then a file for each room

To add a room to the page, add its element to page.html and its script to `page.SCRIPTS`.
"""

from raravis.report.contents import (
    Chart,
    Clip,
    Frame,
    Line,
    Member,
    Moment,
    Picture,
    Points,
    Pruned,
    Report,
    ReportEvent,
    ReportRecording,
    Threshold,
    Thumbnails,
    Timeline,
    View,
)
from raravis.report.page import render, write

__all__ = [
    "Chart",
    "Clip",
    "Frame",
    "Line",
    "Member",
    "Moment",
    "Picture",
    "Points",
    "Pruned",
    "Report",
    "ReportEvent",
    "ReportRecording",
    "Threshold",
    "Thumbnails",
    "Timeline",
    "View",
    "render",
    "write",
]
