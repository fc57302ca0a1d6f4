"""What the layers of a run see of recordings, portion by portion, for those who look at windows
and not at scores.

Nothing is learned here and nothing is written. Memory does not grow with the recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raravis.detector import Detector
from raravis.encoded import Encoded
from raravis.errors import ParameterError, RecordingError, RunError
from raravis.image_layers import FrameLayer, PictureLayer
from raravis.inference import Inference
from raravis.judges import Judge
from raravis.layers import WindowLayer
from raravis.looking import brightness
from raravis.progress import Progress, silent
from raravis.senses.sound import SoundSense
from raravis.sources import FrameSource, Source
from raravis.windows import FloatArray, Windows

NO_WINDOWS = (
    "series are judged row by row and have no windows with embeddings of their own: use "
    "`raravis score` for the scores of their rows, `raravis compare` for several models"
)


@dataclass(frozen=True)
class Seen:
    """Windows that were read together.

    windows  (n,) where they lie.
    names    n names of frames; empty words where windows have none.
    things   n of what the layer looks at: clips (F, T) in dB, sound events, or pictures (C, H, W).
    """

    windows: Windows
    names: list[str]
    things: Any


@dataclass(frozen=True)
class View:
    """One layer of a run.

    name     of the layer.
    encode   things -> embedding and terms.
    judges   of its embeddings and terms, by name.
    network  the trained network and what makes its windows (n, C, H, W) of things; None where the
             layer learned in closed form.
    """

    name: str
    encode: Callable[[Any], Encoded]
    judges: Mapping[str, Judge]
    network: tuple[Inference, Callable[[Any], FloatArray]] | None = None

    def embeddings(self, things: Any) -> dict[str, FloatArray]:
        """Every embedding there is, name -> (n, D)."""
        if self.network is None:
            return {"embedding": self.encode(things).embedding}
        inference, as_windows = self.network
        return inference.embeddings(as_windows(things))


def views(detector: Detector, layer: str | None = None) -> dict[str, View]:
    """What looks at the same windows of a run's recordings, networks first.

    layer  the name of one of them; None are all that look at the windows of a fixed grid, or, where
           none does, at sound events.

    Raises ParameterError for a layer that is not there, and for series.
    """
    if detector.kind == "series":
        raise ParameterError(NO_WINDOWS)
    there = {name: _view(one) for name, one in detector.sense.layers.items()}
    if layer is not None:
        if layer not in there:
            raise ParameterError(f"layer must be of {', '.join(there)}, got {layer!r}")
        return {layer: there[layer]}
    ordered = sorted(there, key=lambda name: there[name].network is None)
    if isinstance(detector.sense, SoundSense):  # its layers look at windows of their own
        ordered = ordered[:1]
    return {name: there[name] for name in ordered}


def _view(layer: Any) -> View:
    if isinstance(layer, FrameLayer):
        network = layer.running, layer.frames
        return View(layer.name, layer.encode, layer.judges.judges, network)
    if isinstance(layer, PictureLayer):
        model = layer.model

        def encode(pictures: list[FloatArray]) -> Encoded:
            seen = model.encode(pictures)
            return Encoded(seen.embedding, {**seen.terms, "brightness": brightness(pictures)})

        return View(layer.name, encode, layer.judges.judges)
    if isinstance(layer, WindowLayer):
        scale = layer.standardise

        def as_windows(clips: FloatArray) -> FloatArray:
            return scale.apply(clips)[:, None]

        if layer.inference is None:
            raise RunError("the network is not trained: call fit first, or load a run")
        return View(layer.name, layer.encode, layer.judges, (layer.inference, as_windows))
    return View(layer.name, layer.model.encode, layer.judges)


def portions(
    detector: Detector, source: Source, layer: str, progress: Progress = silent
) -> Iterator[Seen]:
    """What a layer sees of recordings, in order. Those that break are skipped and listed."""
    total_s, before_s = sum(r.duration_s for r in source.recordings), 0.0
    for number, recording in enumerate(source.recordings):
        progress("looking", before_s, total_s)
        try:
            for seen in _of_recording(detector.sense, source, layer, number):
                if len(seen.windows):
                    yield seen
        except RecordingError as error:
            source.skip(error)
        before_s += recording.duration_s
    progress("looking", total_s, total_s)


def _of_recording(sense: Any, source: Any, layer: str, number: int) -> Iterator[Seen]:
    if isinstance(source, FrameSource):
        for block in source.blocks(number):
            yield Seen(block.windows, block.names, block.pictures)
        return
    for heard_block, windows in sense.listener.blocks(source, number):
        heard = sense.listener.hear(heard_block, windows)
        if layer != "segments":
            yield Seen(heard.windows, [""] * len(heard.windows), heard.clips)
            continue
        events = [e for e, own in zip(heard.excerpts, heard.owned, strict=True) if own]
        where = Windows.of(number, [e.start_s for e in events], [e.end_s for e in events])
        yield Seen(where, [""] * len(events), events)
