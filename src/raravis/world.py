"""How this process was started: alone, or as one of several that work together.

Whoever starts several processes tells each of them, in variables of its environment, which one it
is. A new starter is one more `_Starter` in `STARTERS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from raravis.errors import ParameterError

Environment = Mapping[str, str]

FIRST_PORT, PORTS = 15_000, 15_000  # below those that the system hands out by itself


@dataclass(frozen=True)
class World:
    """The processes that work together, as one of them sees it.

    rank        its number, from 0.
    size        how many there are.
    local_rank  its number among those on the same machine, from 0.
    address     name of the machine of process 0, and the port there at which the others find it;
    port        empty and 0 where there is one process only.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0


@dataclass(frozen=True)
class _Starter:
    """What starts several processes, and the variables in which it says so.

    rank, size   are both there, or neither.
    local_ranks  the first that is there counts; without one, a machine holds one process.
    local_size   how many processes this machine holds.
    """

    name: str
    rank: str
    size: str
    local_ranks: tuple[str, ...]
    local_size: str = ""


TORCHRUN = _Starter("torchrun", "RANK", "WORLD_SIZE", ("LOCAL_RANK",), "LOCAL_WORLD_SIZE")
OPEN_MPI = _Starter(
    "Open MPI",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    ("OMPI_COMM_WORLD_LOCAL_RANK",),
    "OMPI_COMM_WORLD_LOCAL_SIZE",
)
# In a job script, which is one process, SLURM_NTASKS and SLURM_PROCID are there as well; only what
# srun started has SLURM_STEP_NUM_TASKS.
SLURM = _Starter("Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", ("SLURM_LOCALID",))
PMI = _Starter(
    "PMI",
    "PMI_RANK",
    "PMI_SIZE",
    ("MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "PMI_LOCAL_RANK"),
    "MPI_LOCALNRANKS",
)
STARTERS = (TORCHRUN, OPEN_MPI, SLURM, PMI)


def read_world(environment: Environment) -> World:
    """The world by the variables of torchrun, Open MPI, PMI (MPICH, Intel, Cray) or Slurm.

    MASTER_ADDR and MASTER_PORT, where they are set, say where process 0 is. Else it is on this
    machine where all processes are, or on the first of the machines that Slurm lists; and the port
    follows from the number of the job, so that jobs on one machine do not meet.

    Raises ParameterError where the variables contradict each other or are half there.
    """
    for starter in STARTERS:
        if starter is SLURM and not _is_own_step(environment):
            continue
        if starter.size in environment:
            return _read(starter, environment)
        if starter.rank in environment:
            raise ParameterError(
                f"{starter.rank} is set, but {starter.size} is missing: set both, or neither to "
                "run alone"
            )
    return World()


def _is_own_step(environment: Environment) -> bool:
    """Whether Slurm itself started these processes, not mpiexec, whose daemons it started."""
    size = environment.get(SLURM.size)
    return size is not None and environment.get(PMI.size, size) == size


def _read(starter: _Starter, environment: Environment) -> World:
    size = _number(starter.size, environment, least=1)
    if size == 1:
        return World()
    rank = _number(starter.rank, environment)
    if rank >= size:
        raise ParameterError(
            f"{starter.rank} must be below {starter.size}, got {rank} of {size}: number the "
            "processes from 0"
        )
    named = [name for name in starter.local_ranks if name in environment]
    local_rank = _number(named[0], environment) if named else 0
    return World(
        rank, size, local_rank, _address(starter, environment), _port(starter, environment)
    )


def _number(name: str, environment: Environment, least: int = 0) -> int:
    text = environment.get(name, "")
    if not text.isdecimal() or int(text) < least:
        raise ParameterError(f"{name} must be a whole number >= {least}, got {text!r}")
    return int(text)


def _address(starter: _Starter, environment: Environment) -> str:
    """Name of the machine that holds process 0."""
    if environment.get("MASTER_ADDR"):
        return environment["MASTER_ADDR"]
    if starter is not TORCHRUN:
        if environment.get(starter.local_size) == environment[starter.size]:
            return "127.0.0.1"
        lists = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_LAUNCH_NODE_IPADDR")
        for name in lists if starter is SLURM else lists[1:2]:
            if environment.get(name):
                return first_host(environment[name])
    raise ParameterError(
        f"{starter.name} started {environment[starter.size]} processes, but where process 0 is was "
        "not said: set MASTER_ADDR to the name of its machine, the same for all processes"
    )


def first_host(hosts: str) -> str:
    """The first name in a list as Slurm writes it: "node[07-09,12],big1" begins with "node07"."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", hosts)
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first.group() if first else hosts)


def _port(starter: _Starter, environment: Environment) -> int:
    """The port given, or one that is the same for all processes of a job and rarely another's."""
    if "MASTER_PORT" in environment:
        return _number("MASTER_PORT", environment, least=1)
    if starter is TORCHRUN:
        raise ParameterError(
            f"{starter.rank} and {starter.size} are set, but MASTER_PORT is not: start by "
            "torchrun, or set it to a free port, the same for all processes"
        )
    job = _digits(environment.get("SLURM_JOB_ID") or environment.get("PBS_JOBID", ""))
    step = _digits(environment.get("SLURM_STEP_ID", "")) if starter is SLURM else 0
    return FIRST_PORT + (31 * job + step) % PORTS


def _digits(text: str) -> int:
    """The first whole number in a text such as "1234[7].server"; 0 where there is none."""
    found = re.search(r"\d+", text)
    return int(found.group()) if found else 0
