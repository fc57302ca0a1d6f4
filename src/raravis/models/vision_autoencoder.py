"""A transformer that squeezes a picture or spectrogram through a short code and rebuilds it.

What it rebuilds badly is strange, and where its class token looks can be read.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from raravis.errors import ParameterError
from raravis.models import register
from raravis.networks import Codes, Network, named_shape
from raravis.transformers import Block, Encoder, Paste, Patches, learned, waves
from raravis.turning import chosen, every_turn, turned, turns_of

Shape = tuple[int, int, int]


class Decoder(nn.Module):
    """Codes (B, latent) -> patches (B, N, outputs).

    Each place has a query of its own, which is learned. The queries look at each other and at the
    memory: a few tokens into which the code is spread, linearly.

    places   (h, w) of the patches.
    outputs  numbers of a patch.
    memory   tokens that a code becomes, >= 1.

    Source: Carion et al. 2020, arXiv:2005.12872 (DETR), with places in place of objects.
    """

    def __init__(
        self, places: tuple[int, int], outputs: int, latent: int, memory: int, width: int,
        depth: int, heads: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.memory = memory, width
        self.spread = nn.Linear(latent, memory * width)
        self.queries = learned(1, math.prod(places), width)
        with torch.no_grad():  # they know from the first step on where they are
            self.queries.add_(waves(*places, width))
        self.blocks = nn.ModuleList(Block(width, heads, crosses=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.paint = nn.Linear(width, outputs)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, latent) -> (B, N, outputs)."""
        memory = self.spread(codes).reshape(len(codes), *self.memory)
        tokens = self.queries.expand(len(codes), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, memory)
        painted: Tensor = self.paint(self.norm(tokens))
        return painted


@register("vit-ae")
class VisionAutoencoder(Network):
    """Learns to rebuild windows from a code of a few numbers, by looking rather than by folding.

        tokens         = encoder(window)                       (B, L + N, D), a vision transformer
        code           = squeeze(class token)                  (B, latent), the embedding
        reconstruction = decoder(code)                         of the shape of the window
        term "reconstruction" = mean squared error per window  (B,)
        term "attention"      = the same, patches weighted by how much the class token looks there
        term "rotation"       = mean of -ln(chance given to the true turn) over all turns, if asked

    shape     (C, H, W) or (H, W) of one window.
    latent    numbers in the code, >= 1.
    masked    share of the patches that are hidden from the encoder, in [0, 1). Where it is not 0,
              those are what is to be rebuilt, and a window is judged in a few looks, four for 0.75,
              each at other patches, always the same ones, so that each patch is rebuilt from looks
              that did not see it.
    rotation  true adds a rotation token: while learning, each window is turned by a quarter drawn
              at random, and the token is to tell by how many. Windows that are not square are
              turned by halves.
    patch, width, heads
              as in `transformers.Encoder`; `width` a multiple of 4. Where a side is no multiple of
              the patch, what is repeated to fill it counts in the errors as well.
    depth, decoder_depth
              blocks of the encoder and of the decoder, >= 1.
    memory    tokens into which the code is spread for the decoder to look at, >= 1.

    embeddings are "embedding", the code, and "attention", the map of each head (B, heads N). heats
    are "reconstruction" and "attention": where the class token looks, 1 being the same everywhere.

    For 28 x 28 the defaults make 1.4 M parameters.

    Sources: He et al. 2022, arXiv:2111.06377 (hidden patches); Carion et al. 2020, arXiv:2005.12872
    (queries in place of mask tokens); Atito et al. 2021, arXiv:2104.03602 (the idea of a rotation
    token). That all goes through one short code is ours: without it, a window of any strangeness
    could be copied.
    """

    looks: Tensor

    def __init__(
        self,
        shape: tuple[int, int] | Shape,
        latent: int = 32,
        masked: float = 0.0,
        rotation: bool = False,
        patch: int | None = None,
        width: int = 128,
        depth: int = 4,
        decoder_depth: int = 2,
        heads: int = 4,
        memory: int = 8,
    ) -> None:
        super().__init__()
        self.shape = _checked(shape, latent, masked, decoder_depth, memory)
        leading = 2 if rotation else 1
        self.encoder = Encoder(self.shape, patch, width, depth, heads, "sine", leading)
        self.squeeze = nn.Linear(width, latent)
        self.paste = Paste(self.shape, self.patches.patch)
        numbers = self.shape[0] * self.patches.patch**2
        self.decoder = Decoder(
            self.patches.places, numbers, latent, memory, width, decoder_depth, heads
        )
        self.turns = len(turns_of(*self.shape[1:])) if rotation else 0
        if rotation:
            self.turn = nn.Linear(width, self.turns)
        count = math.prod(self.patches.places)
        if masked and count < 2:
            raise ParameterError(
                f"masked needs at least 2 patches, got {count}: choose a smaller patch"
            )
        self.hidden = min(max(1, round(masked * count)), count - 1) if masked else 0
        self.register_buffer("looks", _looks(count, self.hidden), persistent=False)

    @property
    def patches(self) -> Patches:
        """How windows are cut."""
        return self.encoder.patches

    def parts(self, batch: Tensor) -> dict[str, Tensor]:
        """The mean squared error of each window, or of what was hidden from it; and how little the
        rotation token knows of the turn."""
        which = chosen(batch, self.turns)[:, 0] if self.turns else None
        if which is not None:
            batch = turned(batch, which)
        hidden, seen = self._drawn(batch)
        tokens = self.encoder(batch, seen)
        rebuilt = self.decoder(self.squeeze(tokens[:, 0]))
        errors = (rebuilt.float() - self.patches.cut(batch)).square().mean(dim=2)  # (B, N)
        if hidden is not None:
            errors = errors.gather(1, hidden)
        parts = {"reconstruction": errors.mean(dim=1)}
        if which is not None:
            parts["rotation"] = self._surprise(tokens, which)
        return parts

    def encode(self, batch: Tensor) -> Codes:
        """The code of the window as it is, and the terms."""
        tokens, looks = self.encoder.reading(batch)
        codes = self.squeeze(tokens[:, 0])
        rebuilt = self._rebuilt(batch, codes)
        errors = (rebuilt - self.patches.cut(batch)).square().mean(dim=2)  # (B, N)
        weights = looks.mean(dim=1).flatten(1)
        attended = (errors * weights).sum(dim=1) / weights.sum(dim=1)
        terms = {"reconstruction": errors.mean(dim=1), "attention": attended}
        if self.turns:
            terms["rotation"] = self._turn_surprise(batch)
        return Codes(codes, terms)

    def reconstruct(self, batch: Tensor) -> Tensor:
        """What the code alone brings back; of hidden patches, what the looks that did not see them
        make of them, on average."""
        codes = self.squeeze(self.encoder(batch)[:, 0])
        pictures: Tensor = self.paste(self._rebuilt(batch, codes))
        return pictures

    def embeddings(self, batch: Tensor) -> dict[str, Tensor]:
        """The code, and where each head looks."""
        tokens, looks = self.encoder.reading(batch)
        return {"embedding": self.squeeze(tokens[:, 0]), "attention": looks.flatten(1)}

    def heats(self, batch: Tensor) -> dict[str, Tensor]:
        """Squared errors, and how much more than elsewhere the class token looks at a place."""
        looks = self.encoder.reading(batch)[1].mean(dim=1)
        looks = looks / looks.mean(dim=(1, 2), keepdim=True)
        return {**super().heats(batch), "attention": self.patches.over_pixels(looks)}

    def _drawn(self, batch: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Numbers of the patches that are hidden and of those that are seen, drawn anew for each
        window; nothing where nothing is hidden."""
        if not self.hidden:
            return None, None
        order = torch.randn_like(batch.new_empty(len(batch), self.looks.shape[1])).argsort(dim=1)
        return order[:, : self.hidden], order[:, self.hidden :]

    def _rebuilt(self, batch: Tensor, codes: Tensor) -> Tensor:
        """Patches (B, N, C patch patch) as rebuilt from the codes (B, latent) of all patches, or
        from looks at some of them."""
        if not self.hidden:
            return self.decoder(codes).float()  # type: ignore[no-any-return]
        total = torch.zeros_like(self.patches.cut(batch))
        times = total.new_zeros(total.shape[1])
        for look in self.looks:
            hidden, seen = look[: self.hidden], look[self.hidden :].expand(len(batch), -1)
            guessed = self.decoder(self.squeeze(self.encoder(batch, seen)[:, 0]))
            total[:, hidden] += guessed[:, hidden].to(total.dtype)
            times[hidden] += 1
        return total / times[:, None]

    def _turn_surprise(self, batch: Tensor) -> Tensor:
        """The mean over all turns of how little the rotation token knows of them, (B,)."""
        surprises = [
            self._surprise(self.encoder(view), torch.full_like(view[:, 0, 0, 0], number).long())
            for number, view in enumerate(every_turn(batch))
        ]
        return torch.stack(surprises).mean(dim=0)

    def _surprise(self, tokens: Tensor, which: Tensor) -> Tensor:
        told = self.turn(tokens[:, 1]).float()
        return nn.functional.cross_entropy(told, which, reduction="none")


def _looks(count: int, hidden: int) -> Tensor:
    """Numbers of the patches for each look, (looks, count), of which the first `hidden` are hidden
    in it: each patch in at least one look, and as evenly as can be. Always the same."""
    looks = max(math.ceil(count / hidden), math.ceil(count / (count - hidden))) if hidden else 1
    order = np.random.default_rng(0).permutation(count)
    rolled = [np.roll(order, -round(look * count / looks)) for look in range(looks)]
    return torch.from_numpy(np.stack(rolled))


def _checked(shape: tuple[int, ...], latent: int, masked: float, depth: int, memory: int) -> Shape:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ParameterError(
            f"vit-ae takes windows of shape (H, W) or (C, H, W), got {named_shape(shape)}"
        )
    if not 0 <= masked < 1:
        raise ParameterError(f"masked must be in [0, 1), got {masked}")
    for name, value in (("latent", latent), ("decoder_depth", depth), ("memory", memory)):
        if value < 1:
            raise ParameterError(f"{name} must be >= 1, got {value}")
    return shape[0] if len(shape) == 3 else 1, shape[-2], shape[-1]
