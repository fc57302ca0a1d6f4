"""What is in the data before anything is learned from them, as numbers and as one page.

`series` and `sound` measure, each in one pass and in bounded memory (`watchers` is what is kept of
rows); `series_figures` and `sound_figures` draw, in the style of `figures`; `pages` puts numbers
and figures of either kind on one page of HTML.
"""

from raravis.inspection.pages import page, picture
from raravis.inspection.series import SeriesView, look_at
from raravis.inspection.sound import SoundView, listen_to
from raravis.progress import Progress, silent
from raravis.sources import RowSource, SoundSource

__all__ = ["SeriesView", "SoundView", "listen_to", "look", "look_at", "page", "picture"]


def look(source: RowSource | SoundSource, progress: Progress = silent) -> SeriesView | SoundView:
    """Goes through a collection of either kind."""
    return (
        look_at(source, progress) if isinstance(source, RowSource) else listen_to(source, progress)
    )
