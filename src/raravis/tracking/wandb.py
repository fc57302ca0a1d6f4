"""Training as Weights & Biases shows it: `wandb sync FOLDER/wandb/offline-run-*`.

FOLDER/run.json          the name by which W&B knows this training, and whether it is over
FOLDER/pictures/*.png    what was pictured, by epoch
FOLDER/wandb/            W&B's own files

It stays offline unless WANDB_MODE says otherwise, and never asks anything: where there is no login
or no network, it says so and stays offline. Steps are epochs, from 1.

W&B keeps what it is told in memory for up to 20 seconds, so a kill loses it. So after a break all
epochs are told again, under the same name: offline in place of the files from before, and online
from where W&B knows them. No point is missing, and none is doubled.

Source: what W&B writes after a kill was measured with wandb 0.31.0.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args
from uuid import uuid4

import wandb
from PIL import Image

from raravis.course import History
from raravis.durable import write_atomically
from raravis.errors import ParameterError
from raravis.tracking.told import Atlas, Row
from raravis.windows import IntArray

Mode = Literal["online", "offline", "disabled", "shared"]
PROJECT = "raravis"  # WANDB_PROJECT in its place, if it is set
PATIENCE_S = 20  # to begin, and to send the rest in the end
QUIETLY: dict[str, Any] = {
    "silent": True,  # so it asks nothing either
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "init_timeout": PATIENCE_S,
    "finish_timeout": PATIENCE_S,
}


class WeightsAndBiases:
    """A run of W&B.

    folder    where it lies; that of the same training before a break is gone on with.
    history   the epochs that are over already.
    settings  of the training, shown beside it.
    remark    is told where it must stay offline against what WANDB_MODE says.
    """

    failures: tuple[type[Exception], ...] = (OSError, wandb.errors.Error)

    def __init__(
        self,
        folder: Path,
        history: History,
        settings: Mapping[str, Any],
        remark: Callable[[str], None],
    ) -> None:
        self._pictures, self._note = folder / "pictures", folder / "run.json"
        self._pictures.mkdir(exist_ok=True)
        known = json.loads(self._note.read_text()) if self._note.exists() else {}
        self._id: str = known.get("id") or uuid4().hex[:8]
        self._ended: bool = known.get("ended", False)
        self._run: wandb.Run | None = None
        if self._ended:
            return
        self._remember()
        self._run = _begun(folder, self._id, dict(settings), remark)
        for epoch in range(max(0, self._run.step - 1), len(history)):
            self.row(history.row(epoch))
            if self._picture(epoch + 1).exists():
                self._show(epoch + 1)

    def row(self, row: Row) -> None:
        """Every column is a curve."""
        if self._run is not None:
            told = {name: value for name, value in row.items() if name != "epoch"}
            self._run.log(told, step=int(row["epoch"]))

    def picture(self, epoch: int, picture: IntArray) -> None:
        """Under "pictured", with a slider over the epochs."""
        if self._run is not None:
            Image.fromarray(picture).save(self._picture(epoch))
            self._show(epoch)

    def atlas(self, epoch: int, atlas: Atlas) -> None:
        """A table with a column for each number of the embedding, for "2D projection"."""
        if self._run is None:
            return
        numbers = [f"code {i}" for i in range(atlas.embedding.shape[1])]
        rows = zip(zip(*atlas.columns.values(), strict=True), atlas.embedding.tolist(), strict=True)
        table = wandb.Table(
            columns=[*atlas.columns, *numbers], data=[[*known, *code] for known, code in rows]
        )
        self._run.log({"map": table}, step=epoch)
        self._ended = True

    def flush(self) -> None:
        """W&B has no such thing; see above."""

    def close(self) -> None:
        """Hands the rest over; waits 20 s at most."""
        if self._run is not None:
            self._run.finish()
            self._run = None
            self._remember()

    def _picture(self, epoch: int) -> Path:
        return self._pictures / f"{epoch:06d}.png"

    def _show(self, epoch: int) -> None:
        if self._run is not None:
            picture = wandb.Image(str(self._picture(epoch)), caption="windows above, rebuilt below")
            self._run.log({"pictured": picture}, step=epoch)

    def _remember(self) -> None:
        write_atomically(self._note, json.dumps({"id": self._id, "ended": self._ended}))


def _begun(
    folder: Path, name: str, settings: dict[str, Any], remark: Callable[[str], None]
) -> wandb.Run:
    """A run in the mode that is asked for; offline where that cannot be."""
    mode = os.environ.get("WANDB_MODE", "offline")
    if mode not in get_args(Mode):
        raise ParameterError(f"WANDB_MODE must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    if mode != "offline":
        try:
            return _begun_in(mode, folder, name, settings)
        except wandb.errors.Error as error:
            remark(
                f"wandb stays offline, though WANDB_MODE is {mode} ({str(error).splitlines()[0]}): "
                f"send it later with `wandb sync {folder}/wandb/offline-run-*`"
            )
            wandb.teardown()  # or the run that could not begin is in the way of this one
    for before in folder.glob("wandb/offline-run-*"):
        shutil.rmtree(before)  # all that is in it is told again
    return _begun_in("offline", folder, name, settings)


def _begun_in(mode: str, folder: Path, name: str, settings: dict[str, Any]) -> wandb.Run:
    wandb.setup(wandb.Settings(silent=True))
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=name,
        name=" ".join(p for p in folder.absolute().parts[-4:-1] if p not in ("/", "learning")),
        dir=folder,
        config=settings,
        mode=cast(Mode, mode),
        resume=None if mode == "offline" else "allow",
        settings=wandb.Settings(**QUIETLY),
    )
