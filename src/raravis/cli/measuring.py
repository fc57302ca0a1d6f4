"""Verbs that measure raravis itself: bench."""

from __future__ import annotations

VERBS = ()
