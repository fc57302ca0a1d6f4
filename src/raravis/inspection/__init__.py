"""What is in the data before anything is learned from them, as numbers and as one page.

`series`, `sound` and `images` measure, each in one pass and in bounded memory (`watchers` is what
is kept of rows); the `*_figures` draw, in the style of `figures`; `pages` and `image_pages` put
numbers and figures of one kind on one page of HTML.
"""

from typing import TypeAlias

from raravis.inspection import pages
from raravis.inspection.image_pages import image_page, image_picture
from raravis.inspection.images import FrameView, look_at_frames
from raravis.inspection.series import SeriesView, look_at
from raravis.inspection.sound import SoundView, listen_to
from raravis.progress import Progress, silent
from raravis.sources import FrameSource, RowSource, SoundSource

__all__ = [
    "FrameView",
    "SeriesView",
    "SoundView",
    "listen_to",
    "look",
    "look_at",
    "look_at_frames",
    "page",
    "picture",
]

View: TypeAlias = SeriesView | SoundView | FrameView


def look(source: RowSource | SoundSource | FrameSource, progress: Progress = silent) -> View:
    """Goes through a collection of any kind."""
    if isinstance(source, FrameSource):
        return look_at_frames(source, progress)
    return (
        look_at(source, progress) if isinstance(source, RowSource) else listen_to(source, progress)
    )


def page(view: View, title: str) -> str:
    """The page of a collection of any kind."""
    return image_page(view, title) if isinstance(view, FrameView) else pages.page(view, title)


def picture(view: View, suffix: str = ".png") -> bytes:
    """The first figure of the page alone: everything over time. Raises ParameterError for a suffix
    other than .png or .svg."""
    if isinstance(view, FrameView):
        return image_picture(view, suffix)
    return pages.picture(view, suffix)
