"""What a store holds of one recording, taken out as `Store.append` takes it in."""

from __future__ import annotations

import numpy as np

from raravis.store import SCORE_TYPE, WINDOW_TYPE, Rows, Store
from raravis.windows import Windows

WINDOWS = (
    "SELECT row, recording, start_s, end_s FROM windows INDEXED BY windows_of_recording"
    " WHERE layer = ? AND recording = ? ORDER BY row"
)
SCORES = (
    "SELECT w.row, score, p_value FROM windows AS w INDEXED BY windows_of_recording"
    " LEFT JOIN scores AS s ON s.scorer = ? AND s.row = w.row"
    " WHERE w.layer = ? AND recording = ? ORDER BY w.row"
)
NAMES = (
    "SELECT n.name FROM windows AS w INDEXED BY windows_of_recording"
    " JOIN names AS n ON n.layer = w.layer AND n.row = w.row"
    " WHERE w.layer = ? AND recording = ? ORDER BY w.row"
)


def rows_of(store: Store, recording: int) -> dict[str, Rows]:
    """All rows of the recording of this number, by layer; of every layer, also where it has none.

    Scores and embeddings are those that were appended, bit by bit.
    """
    db = store._db
    found = {}
    for number, name, dim in db.all("SELECT id, name, dim FROM layers ORDER BY id"):
        there = db.columns([SCORE_TYPE[0], *WINDOW_TYPE], WINDOWS, number, recording)
        scores = {}
        for scorer, label in db.all("SELECT id, name FROM scorers WHERE layer = ?", number):
            pair = db.columns(SCORE_TYPE, SCORES, scorer, number, recording)
            scores[label] = np.array(pair["score"]), np.array(pair["p_value"])
        embedding = store._matrix(name).rows(there["row"]) if dim else None
        windows = Windows(there["recording"], there["start_s"], there["end_s"])
        names = [called for (called,) in db.all(NAMES, number, recording)] or None
        found[name] = Rows(windows, scores, embedding, names)
    return found
