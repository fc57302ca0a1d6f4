"""Several processes learn what one would, and hear of it when one of them is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from crew import ROWS, SHARES, STOPS, drawn, everything, lose, taught, together
from raravis import distributed
from raravis.benchmarks import sharing
from raravis.blocks import BatchNorm
from raravis.errors import ParameterError, RunError
from raravis.journal import Journal
from raravis.world import World, first_host, read_world

Answers = dict[str, Any]

# --- how processes are told who they are ---------------------------------------------------------

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "head",
            "MASTER_PORT": "29500"}  # fmt: skip
STEP = {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "8",
        "SLURM_STEP_NODELIST": "gpu[08-09,12]", "SLURM_JOB_NODELIST": "gpu[07-12]"}  # fmt: skip
SCRIPT = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_NPROCS": "4", "SLURM_PROCID": "0",
          "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "gpu[07-12]"}  # fmt: skip
LAUNCHED = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1",
            "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7"}  # fmt: skip
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
       "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}  # fmt: skip
PMI = {"PMI_RANK": "3", "PMI_SIZE": "4", "PALS_LOCAL_RANKID": "1", "PBS_JOBID": "12[3].server"}
PORT = 15_000 + 31 * 77  # of Slurm's job 77


@pytest.mark.parametrize(
    ("environment", "world"),
    [
        ({}, World()),
        ({"WORLD_SIZE": "1", "RANK": "0"}, World()),
        (TORCHRUN, World(3, 4, 1, "head", 29500)),
        ({**STEP, **TORCHRUN}, World(3, 4, 1, "head", 29500)),  # torchrun, started by srun
        (STEP, World(5, 8, 1, "gpu08", PORT + 2)),
        ({**STEP, "MASTER_ADDR": "head", "MASTER_PORT": "99"}, World(5, 8, 1, "head", 99)),
        ({**STEP, "PMI_RANK": "5", "PMI_SIZE": "8"}, World(5, 8, 1, "gpu08", PORT + 2)),
        (SCRIPT, World()),  # the script itself, although it may start four tasks
        ({**SCRIPT, "SLURM_STEP_NUM_TASKS": "1"}, World()),
        (LAUNCHED, World(1, 2, 0, "10.0.0.7", 15_000)),
        (MPI, World(1, 2, 1, "127.0.0.1", 15_000)),
        ({**SCRIPT, **MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, World(1, 2, 1, "gpu07", PORT)),
        # mpirun's daemons are a step of Slurm's, one to a machine; those of PMI likewise
        ({**STEP, **MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, World(1, 2, 1, "gpu07", PORT)),
        ({**STEP, **PMI, "MPI_LOCALRANKID": "0"}, World(3, 4, 0, "gpu07", PORT)),
        ({**PMI, "MASTER_ADDR": "x3001"}, World(3, 4, 1, "x3001", 15_000 + 31 * 12)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"},
         World(1, 2, 1, "127.0.0.1", 15_000)),
    ],
)  # fmt: skip
def test_the_environment_says_which_process_this_is(
    environment: dict[str, str], world: World
) -> None:
    assert read_world(environment) == world


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0"}, "RANK is set, but WORLD_SIZE is missing: set both, or neither to"),
        ({"WORLD_SIZE": "2"}, "RANK must be a whole number >= 0, got ''"),
        ({**TORCHRUN, "RANK": "4"}, "RANK must be below WORLD_SIZE, got 4 of 4: number the proc"),
        ({**TORCHRUN, "WORLD_SIZE": "0"}, "WORLD_SIZE must be a whole number >= 1, got '0'"),
        ({**TORCHRUN, "LOCAL_RANK": "x"}, "LOCAL_RANK must be a whole number >= 0, got 'x'"),
        ({**TORCHRUN, "MASTER_ADDR": ""}, "torchrun started 4 processes, but where process 0 is "
         "was not said: set MASTER_ADDR to the name of its machine"),
        ({**TORCHRUN, "MASTER_PORT": "-1"}, "MASTER_PORT must be a whole number >= 1, got '-1'"),
        ({k: v for k, v in TORCHRUN.items() if k != "MASTER_PORT"}, "but MASTER_PORT is not"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "SLURM_PROCID must be a whole number >= 0, got ''"),
        ({**STEP, "SLURM_PROCID": "8"}, "SLURM_PROCID must be below SLURM_STEP_NUM_TASKS, got 8"),
        (PMI, "PMI started 4 processes, but where process 0 is was not said: set MASTER_ADDR"),
        ({"PMI_RANK": "1"}, "PMI_RANK is set, but PMI_SIZE is missing"),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is missing"),
    ],
)  # fmt: skip
def test_an_environment_that_contradicts_itself_is_refused(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        read_world(environment)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("node[07-09,12],big1", "node07"),
        ("rack[2-3]n[01-16]", "rack2n01"),
        ("n[5].site.org,m1", "n5.site.org"),
    ],
)
def test_the_first_of_slurms_machines_is_found(hosts: str, first: str) -> None:
    assert first_host(hosts) == first


# --- alone ---------------------------------------------------------------------------------------


def test_alone_everything_is_as_it_was() -> None:
    values, weight = np.arange(3.0), torch.nn.Parameter(torch.ones(2))
    with distributed.joined() as world:
        assert world == World()
        assert (distributed.size(), distributed.rank()) == (1, 0)
        assert distributed.total(values) is values
        assert distributed.from_first("x") == "x" and distributed.all_of("x") == ["x"]
        assert distributed.gathered(weight) is weight
        assert distributed.average_gradients([weight], flag=True)
        assert weight.grad is None
        distributed.wait()


def test_batch_normalisation_alone_is_torchs_own() -> None:
    ours, theirs, batch = BatchNorm(3), torch.nn.BatchNorm2d(3), drawn(5, 3, 4, 2).float()
    for _ in range(2):
        assert torch.equal(ours(batch), theirs(batch))
    for name, values in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], values)
    assert torch.equal(ours.eval()(batch), theirs.eval()(batch))


@pytest.mark.slow
def test_processes_that_do_not_find_each_other_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**TORCHRUN, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(RunError, match=r"have lost each other.*start all of them again"),
        distributed.joined(patience_s=1),
    ):
        pass


# --- started again by torchrun, whose board keeps what was written before -------------------------


def agree(board: dist.Store, delays_s: Sequence[float], patience_s: float = 20) -> list[str]:
    """The name that each of several processes, come after so long, calls their meeting by."""

    def come(rank: int) -> str:
        time.sleep(delays_s[rank])
        world = World(rank, len(delays_s), rank, "127.0.0.1", 29500)
        return distributed.agreed_name(board, world, patience_s)

    with ThreadPoolExecutor(len(delays_s)) as pool:
        return list(pool.map(come, range(len(delays_s))))


@pytest.mark.parametrize("delays_s", [(0, 0.2, 0), (0.2, 0, 0.1), (0, 0, 0)])
def test_processes_started_again_meet_each_other_and_none_of_those_before(
    delays_s: tuple[float, ...],
) -> None:
    board = dist.HashStore()
    names = [agree(board, delays_s) for _ in range(3)]
    names.append(agree(board, delays_s[:2]))  # fewer than before
    assert [len(set(meeting)) for meeting in names] == [1, 1, 1, 1]
    assert len({meeting[0] for meeting in names}) == 4


def test_who_does_not_come_again_is_not_taken_for_the_one_that_was_there() -> None:
    board = dist.HashStore()
    agree(board, (0, 0))
    with pytest.raises(RuntimeError, match=r"processes \[1\] did not come within 0\.1 s"):
        distributed.agreed_name(board, World(0, 2, 0, "127.0.0.1", 29500), patience_s=0.1)
    assert len(set(agree(board, (0, 0.1)))) == 1  # though another one began and did not end


# --- together ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return everything(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(begun: Path) -> list[Answers]:
    return together(everything, 2, begun)


@pytest.fixture(scope="module")
def three(begun: Path, two: list[Answers], tmp_path_factory: Any) -> list[Answers]:
    """Three processes, found by Slurm's variables, that go on where the two were stopped."""
    folder = tmp_path_factory.mktemp("three")
    shutil.copytree(begun, folder / "begun")
    return together(everything, 3, folder, folder / "begun", starter="Slurm")


@pytest.fixture(params=[2, 3], scope="module")
def crew(request: pytest.FixtureRequest) -> list[Answers]:
    answers: list[Answers] = request.getfixturevalue({2: "two", 3: "three"}[request.param])
    assert all(answers), "a process failed: see what it says above"
    return answers


@pytest.mark.slow
def test_every_gradient_is_that_of_one_process_with_the_whole_batch(
    crew: list[Answers], alone: Answers
) -> None:
    expected = alone["steps"][0]
    for answers in crew:
        for shares, steps in zip(SHARES[len(crew)], answers["steps"], strict=True):
            assert steps.keys() == expected.keys() >= {"conv-ae", "vae", "covariance", "crowding"}
            for loss, step in steps.items():
                for name, values in step.items():
                    away = (values - expected[loss][name]).abs().max()
                    assert away < 1e-6, f"{loss}, {name}, rows {shares}"


@pytest.mark.slow
def test_weights_and_statistics_are_the_same_to_the_last_bit(crew: list[Answers]) -> None:
    for answers in crew[1:]:
        for first, steps in zip(crew[0]["steps"], answers["steps"], strict=True):
            for loss, step in steps.items():
                assert all(torch.equal(v, first[loss][name]) for name, v in step.items()), loss


@pytest.mark.slow
def test_gathered_values_stand_in_order_whoever_had_them(crew: list[Answers]) -> None:
    for answers in crew:
        for gathered in answers["gathered"]:
            assert torch.equal(gathered["numbers"], torch.arange(ROWS))
            assert torch.equal(gathered["halves"], drawn(ROWS, 2, 3).bfloat16())


@pytest.mark.slow
def test_gradients_are_averaged_and_one_that_is_nowhere_stays_away(crew: list[Answers]) -> None:
    count = len(crew)
    for answers in crew:
        first, second, third, fourth = answers["gradients"]["gradients"]
        mean = sum(drawn(2, 3, 1, 2, seed=rank) for rank in range(count)) / count
        torch.testing.assert_close(first, mean)
        torch.testing.assert_close(second, torch.full_like(mean, 6 / count))
        assert third is None and fourth is None
        assert answers["gradients"]["flags"] == (True, False)
        assert answers["gradients"]["strides"] == (6, 1, 6, 3)  # the optimiser goes by memory


@pytest.mark.slow
def test_processes_tell_each_other_what_they_hold(crew: list[Answers]) -> None:
    count = len(crew)
    for answers in crew:
        np.testing.assert_array_equal(
            answers["total"], count * np.arange(3.0) + count * (count - 1) / 2
        )
        assert answers["from_first"] == "rank 0"
        assert answers["all_of"] == list(range(count))


def assert_taught_alike(here: Answers, there: Answers, exactly: bool = False) -> None:
    near = 0 if exactly else 1e-6
    assert here["weights"].keys() == there["weights"].keys()
    for name, values in here["weights"].items():
        torch.testing.assert_close(values, there["weights"][name], rtol=near, atol=near)
    assert here["left_out"]["row"] == there["left_out"]["row"]
    assert here["left_out"]["epoch"] == there["left_out"]["epoch"]
    assert here["windows"] == there["windows"]
    for column in ("loss", "validation_loss"):
        np.testing.assert_allclose(here[column], there[column], rtol=near)
    for look, other in zip(here["looks"], there["looks"], strict=True):
        assert look == pytest.approx(other, rel=near)


@pytest.mark.slow
def test_a_network_taught_by_several_is_that_taught_by_one(
    crew: list[Answers], alone: Answers
) -> None:
    assert {3, 11, 19, 30} <= set(alone["taught"]["left_out"]["row"])
    for answers in crew:
        assert_taught_alike(answers["taught"], crew[0]["taught"], exactly=True)
        assert_taught_alike(answers["taught"], alone["taught"])


@pytest.mark.slow
def test_where_each_normalises_its_own_rows_all_still_end_with_the_same_network(
    crew: list[Answers], alone: Answers
) -> None:
    for answers in crew[1:]:
        assert_taught_alike(answers["own"], crew[0]["own"], exactly=True)
    statistics = [name for name in alone["own"]["weights"] if name.endswith("running_mean")]
    for name in statistics:
        ours, whole = (one["own"]["weights"][name] for one in (crew[0], alone))
        assert not torch.equal(ours, whole)  # since each met its own rows


@pytest.mark.slow
@pytest.mark.parametrize("stop", STOPS)
def test_what_two_processes_began_goes_on_in_one_and_in_three(
    stop: int, begun: Path, two: list[Answers], three: list[Answers], alone: Answers, tmp_path: Path
) -> None:
    shutil.copytree(begun / f"stopped_{stop}", tmp_path / "copy")
    newest = max((tmp_path / "copy" / "checkpoints").glob("[0-9]*.pt"))
    assert newest.stem == f"{stop:08d}"
    assert_taught_alike(taught(Journal(folder=tmp_path / "copy")), alone["taught"])
    for answers in three:
        assert_taught_alike(answers["gone on"][stop], alone["taught"])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["failed", "killed"])
def test_a_lost_process_is_noticed_by_the_others_at_once(how: str, tmp_path: Path) -> None:
    first, last = together(lose, 2, tmp_path, how)
    assert not last
    assert "have lost each other" in first["message"]
    assert first["waited_s"] < 20  # a moment; but the machine may be busy


@pytest.mark.slow
def test_torchrun_is_understood(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    script = Path(__file__).with_name("crew.py")
    subprocess.run([*command, "2", str(script), str(tmp_path)], check=True, capture_output=True)
    assert [p.read_text() for p in sorted(tmp_path.glob("*.txt"))] == ["2 3", "2 3"]


@pytest.mark.slow
def test_the_benchmark_compares_one_process_with_two() -> None:
    rows = [
        *sharing.gathering(1, count=1000),
        *sharing.pruning(1, windows=sharing.BATCH),
        *sharing.sharing(1, 1, "float32"),
    ]
    assert 0 < rows[0]["least_ms"] <= rows[0]["ms"]
    assert rows[1]["ratio"] > 0
    assert [row["ratio"] > 0 for row in rows[2:]] == [True] * 4
    assert rows[2]["ratio"] == 1
