"""Shards scored apart and merged: the run of one process; and every way they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile
import tomli_w
from typer.testing import CliRunner

from raravis.cli import app
from raravis.configuration import read_toml
from raravis.detector import Detector
from raravis.errors import ParameterError, RunError
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.spreading.parts import NOTE, Shard, make_out, merge, score_shard
from raravis.store import Store
from test_spreading import assert_same_run

SHARDS = 3
SETTINGS = {"explainer": "none", "features": {"mels": 32}, "source": {"hop_s": 1.0}}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Five recordings of several lengths; one is cut short and has no time in its name."""
    folder = tmp_path_factory.mktemp("recordings")
    samples = dawn_chorus(2, seed=3)[0][::2]
    for number, seconds in enumerate((40, 20, 30, 10)):
        name = f"x_2026050{5 - number}_040000.wav"
        soundfile.write(folder / name, samples[: seconds * RATE_HZ // 2], RATE_HZ // 2)
    soundfile.write(folder / "later.flac", samples, RATE_HZ // 2)
    content = (folder / "later.flac").read_bytes()
    (folder / "later.flac").write_bytes(content[: len(content) // 2])
    (folder / "empty.wav").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def taught(recordings, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("taught") / "run"
    Detector(**SETTINGS).fit(recordings / "x_20260505_040000.wav").save(run)
    return run


@pytest.fixture(scope="module")
def parts(recordings, taught, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    return [
        score(taught, recordings, number, folder / f"part-{number}")
        for number in range(1, SHARDS + 1)
    ]


def score(taught: Path, recordings: Path, number: int, out: Path, of: int = SHARDS) -> Path:
    detector = Detector.load(taught)
    make_out(taught, out)
    score_shard(detector, detector.open(recordings), Shard(number, of), out)
    return out


@pytest.fixture
def others(parts, tmp_path) -> list[Path]:
    """A copy of the parts that may be spoilt."""
    return [Path(shutil.copytree(part, tmp_path / "spoilt" / part.name)) for part in parts]


def change(part: Path, **entries) -> None:
    (part / NOTE).write_text(tomli_w.dumps({**read_toml(part / NOTE), **entries}))


def test_merged_parts_are_the_run_of_one_process(recordings, taught, parts, tmp_path):
    detector = Detector.load(taught)
    detector.score(recordings, run=tmp_path / "one")
    merged = merge([parts[2], parts[0], parts[1]], tmp_path / "merged")
    assert_same_run(tmp_path / "merged", tmp_path / "one")
    assert merged.events().equals(detector.events()) and len(merged.events())
    with Store.open(tmp_path / "merged") as store:
        names = {Path(skipped.path).name for skipped in store.skipped()}
    assert names == {"later.flac", "empty.wav"}
    for name in ("model.toml", "model.safetensors"):
        assert (tmp_path / "merged" / name).read_bytes() == (taught / name).read_bytes()


def test_every_recording_is_in_one_shard_and_hours_are_shared_out(recordings, taught):
    source = Detector.load(taught).open(recordings)
    shares = [Shard(number, SHARDS).of_source(source).recordings for number in (1, 2, 3)]
    names = [recording.name for share in shares for recording in share]
    assert sorted(names) == sorted(recording.name for recording in source.recordings)
    short_s = next(r.duration_s for r in source.recordings if r.name == "later.flac")
    assert [sum(r.duration_s for r in share) for share in shares] == [short_s, 50, 50]


def test_a_shard_that_was_cut_off_goes_on(recordings, taught, parts, tmp_path):
    class Cut(Exception):  # noqa: N818  stands for a power cut
        pass

    def cut(step, done, total):
        raise Cut

    detector, out = Detector.load(taught), tmp_path / "part"
    make_out(taught, out)
    with pytest.raises(Cut):
        score_shard(detector, detector.open(recordings), Shard(2, SHARDS), out, cut)
    with pytest.raises(RunError, match="part is not finished: give the command of shard 2/3 again"):
        merge([parts[0], out, parts[2]], tmp_path / "merged")
    score(taught, recordings, 2, out)
    with Store.open(out) as ours, Store.open(parts[1]) as theirs:
        assert ours.table("windows", "rarity").equals(theirs.table("windows", "rarity"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/16", "shards of 16 are counted from 1/16 to 16/16, got 0/16"),
        ("17/16", "shards of 16 are counted from 1/16 to 16/16, got 17/16"),
        ("3", "--shard must be written like 3/16, got '3'"),
        ("-1/4", "--shard must be written like 3/16, got '-1/4'"),
    ],
)
def test_shards_that_do_not_exist_are_refused(text, message):
    with pytest.raises(ParameterError, match=message):
        Shard.parse(text)


def test_more_shards_than_recordings_are_refused(recordings, taught):
    source = Detector.load(taught).open(recordings)
    with pytest.raises(ParameterError, match="5 recordings make 5 shards at most, got --shard 1/6"):
        Shard(1, 6).of_source(source)


def test_a_missing_part_is_named(parts, tmp_path):
    with pytest.raises(RunError, match="of 3 shards these are missing: 2"):
        merge([parts[0], parts[2]], tmp_path / "merged")
    with pytest.raises(RunError, match="no part to merge"):
        merge([], tmp_path / "merged")


def test_a_part_that_is_there_twice_is_refused(parts, others, tmp_path):
    with pytest.raises(RunError, match="shard 1/3 is there twice"):
        merge([*parts, others[0]], tmp_path / "merged")


def test_parts_of_other_models_counts_or_recordings_are_refused(others, tmp_path):
    change(others[1], of=4)
    with pytest.raises(RunError, match=r"is one of 3 shards and .* one of 4"):
        merge(others, tmp_path / "merged")
    change(others[1], of=3, collection="other")
    with pytest.raises(RunError, match="are parts of different recordings"):
        merge(others, tmp_path / "merged")
    text = (others[1] / "model.toml").read_text()
    (others[1] / "model.toml").write_text(text + "\n")
    with pytest.raises(RunError, match="were scored by different models"):
        merge(others, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_recording_in_two_parts_is_refused(others, tmp_path):
    with Store.open(others[0]) as store:
        recording, _ = store.recordings()[0]
    with Store.open(others[1]) as store:
        store.add_recording(recording)
    with pytest.raises(RunError, match=rf"{recording.name} is in both .*part-1 and .*part-2"):
        merge(others, tmp_path / "merged")


def test_what_is_no_part_is_refused(taught, parts, tmp_path):
    with pytest.raises(RunError, match=r"is no part of a run \(it has no part.toml\)"):
        merge([*parts, taught], tmp_path / "merged")


def test_merging_does_not_replace_a_run(parts, tmp_path):
    merge(parts, tmp_path)
    with pytest.raises(RunError, match="holds a run already"):
        merge(parts, tmp_path)


def test_a_folder_keeps_to_its_shard_and_its_recordings(recordings, taught, others, tmp_path):
    with pytest.raises(RunError, match=r"holds shard 1/3, and was to hold 2/3: choose another"):
        score(taught, recordings, 2, others[0])
    more = tmp_path / "more"
    shutil.copytree(recordings, more)
    shutil.copy(more / "x_20260505_040000.wav", more / "y.wav")
    with pytest.raises(RunError, match="was begun with other recordings"):
        score(taught, more, 1, others[0])


def test_a_whole_run_does_not_become_a_shard(recordings, taught, tmp_path):
    make_out(taught, tmp_path)
    Store.create(tmp_path).close()
    with pytest.raises(RunError, match="holds a whole run, no shard"):
        score(taught, recordings, 1, tmp_path)


# --- the command line ----------------------------------------------------------------------------


def ask(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_line_scores_shards_and_merges_them(recordings, taught, parts, tmp_path):
    for number in (1, 2):
        out = tmp_path / f"part-{number}"
        done = ask("score", taught, recordings, "--shard", f"{number}/2", "--out", out)
        assert done.exit_code == 0, done.output
        assert f"shard {number}/2 of the collection" in done.stderr
    done = ask("merge", tmp_path / "part-1", tmp_path / "part-2", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    merge(parts, tmp_path / "other")
    assert_same_run(tmp_path / "run", tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2"], "--workers needs --on processes or --on ray"),
        (["--shard", "1/2"], "--shard needs --out, a folder for this part alone"),
        (["--shard", "3/2", "--out", "x"], "shards of 2 are counted from 1/2"),
        (["--on", "nothing"], "--on must be one of processes, ray"),
    ],
)
def test_the_command_line_refuses(options, message, recordings, taught):
    done = ask("score", taught, recordings, *options)
    assert done.exit_code == 1
    assert message in str(done.exception)


def test_scoring_into_another_run_goes_on_with_the_same_command(recordings, taught, tmp_path):
    for _ in range(2):
        done = ask("score", taught, recordings, "--out", tmp_path / "run", "--json")
        assert done.exit_code == 0, done.output
    model = tmp_path / "run" / "model.toml"
    model.write_text(model.read_text() + "\n")
    done = ask("score", taught, recordings, "--out", tmp_path / "run")
    assert "holds a run already" in str(done.exception)
