"""Training as TensorBoard shows it: `tensorboard --logdir RUN/learning`.

FOLDER/events.out.tfevents.*   numbers and pictures; one file more after every break
FOLDER/projector_config.pbtxt  names the files of the map for the page "Projector"
FOLDER/projector/              points, what is known of each, and a sheet of small pictures

Steps are epochs, from 1. After a break it says from which epoch on it tells again, and whatever
an earlier file says of those epochs is not shown any more; so no point is doubled. It says all that
it knows before every checkpoint, so none is missing either.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from raravis.course import History
from raravis.durable import write_atomically
from raravis.tracking.told import Atlas, Row
from raravis.windows import IntArray

CONFIG = """embeddings {{
  tensor_name: "windows"
  tensor_path: "projector/points.tsv"
  metadata_path: "projector/columns.tsv"
  sprite {{
    image_path: "projector/pictures.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
}}
"""


class TensorBoard:
    """A writer of TensorBoard's event files.

    folder   where they lie; those of the same training before a break are gone on with.
    history  the epochs that are over already.
    """

    failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, folder: Path, history: History) -> None:
        went_before = any(folder.glob("events.out.tfevents.*"))
        self._config = folder / "projector_config.pbtxt"
        self._ended = self._config.exists()
        self._writer = SummaryWriter(
            str(folder),
            purge_step=len(history) + 1 if went_before else None,
            max_queue=1000,
            flush_secs=10,
        )

    def row(self, row: Row) -> None:
        """Every column is a curve."""
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))

    def picture(self, epoch: int, picture: IntArray) -> None:
        """Under "windows above, rebuilt below", with a slider over the epochs."""
        if not self._ended:
            self._writer.add_image(
                "windows above, rebuilt below", picture, epoch, dataformats="HWC"
            )

    def atlas(self, epoch: int, atlas: Atlas) -> None:
        """The files of the projector, their list last."""
        if self._ended:
            return
        folder = self._config.parent / "projector"
        folder.mkdir(exist_ok=True)
        points = io.StringIO()
        np.savetxt(points, atlas.embedding, fmt="%.6g", delimiter="\t")
        write_atomically(folder / "points.tsv", points.getvalue())
        lines = ["\t".join(atlas.columns)]
        lines += ["\t".join(map(_cell, row)) for row in zip(*atlas.columns.values(), strict=True)]
        write_atomically(folder / "columns.tsv", "\n".join(lines) + "\n")
        write_atomically(folder / "pictures.png", _sheet(atlas.pictures))
        height, width = atlas.pictures.shape[1:]
        write_atomically(self._config, CONFIG.format(width=width, height=height))

    def flush(self) -> None:
        """What was told lies in the file."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("\t", " ").replace("\n", " ")


def _sheet(pictures: IntArray) -> bytes:
    """Pictures (N, h, w) in a square of squares as the projector wants them: a PNG, row by row."""
    count, height, width = pictures.shape
    side = math.ceil(math.sqrt(count))
    whole = np.zeros((side * side, height, width), dtype=np.uint8)
    whole[:count] = pictures
    sheet = whole.reshape(side, side, height, width).swapaxes(1, 2)
    png = io.BytesIO()
    Image.fromarray(sheet.reshape(side * height, side * width)).save(png, "PNG")
    return png.getvalue()
