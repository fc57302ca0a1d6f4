"""What `raravis bench images` is asked for, and what it answers in tables."""

import json

import pytest

from raravis.cli import measuring_images
from raravis.cli.measuring_images import run
from raravis.errors import DataError, ParameterError
from raravis.progress import silent


def test_an_unknown_part_is_answered_with_the_known_ones():
    with pytest.raises(ParameterError, match=r"parts of images are loss, step, .*; got nothing"):
        run(None, range(1), ["nothing"], silent)


def test_a_part_that_needs_pictures_says_so():
    with pytest.raises(DataError, match="this part needs images/"):
        run(None, range(1), ["tiles"], silent)


def test_rows_say_of_which_part_they_are(monkeypatch):
    monkeypatch.setitem(measuring_images.PARTS, "loss", lambda asked: [{"seeds": len(asked.seeds)}])
    assert json.dumps(run(None, range(3), ["loss"], silent)) == '[{"table": "loss", "seeds": 3}]'
