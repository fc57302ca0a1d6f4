"""The house has floors, and an import only ever goes down; torch lives in a few rooms only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

# docs/architecture.md draws this. "raravis.models." stands for the files in models/.
FLOORS = {
    10: "raravis raravis.__main__ raravis.cli raravis.cli.",
    9: "raravis.explain raravis.explain. raravis.showroom raravis.comparison raravis.comparison. "
    "raravis.scanning raravis.scanning. raravis.benchmarks raravis.benchmarks.",
    8: "raravis.evaluation raravis.description raravis.description. raravis.inspection "
    "raravis.inspection. raravis.report raravis.report. raravis.watching raravis.fitting "
    "raravis.spreading raravis.spreading. raravis.contamination raravis.monitoring "
    "raravis.embedding raravis.monitoring. raravis.viewing raravis.labelling",
    7: "raravis.detector",
    6: "raravis.senses.",
    5: "raravis.layers raravis.row_layer raravis.row_networks raravis.row_ensemble "
    "raravis.row_novelty raravis.row_pruning raravis.image_layers raravis.senses",
    4: "raravis.models. raravis.sources. raravis.scorers. raravis.judges raravis.listening "
    "raravis.looking raravis.caching raravis.caching. raravis.training raravis.inference "
    "raravis.course "
    "raravis.tracking raravis.tracking. raravis.backbones.",
    3: "raravis.models raravis.sources raravis.scorers raravis.networks raravis.thresholds "
    "raravis.checkpoints raravis.pruning raravis.segments raravis.store raravis.store. "
    "raravis.folders raravis.images.albums raravis.left_out raravis.novelty raravis.novelty. "
    "raravis.backbones",
    2: "raravis.registry raravis.configuration raravis.windows raravis.encoded raravis.learned "
    "raravis.progress raravis.sound raravis.sound. raravis.metrics raravis.metrics. "
    "raravis.blocks raravis.distributed raravis.world raravis.sampling raravis.journal "
    "raravis.times raravis.pictures raravis.durable raravis.series "
    "raravis.series. raravis.images raravis.images. raravis.transformers raravis.views "
    "raravis.joint_terms raravis.turning",
    1: "raravis.errors",
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names.split()}

MEMBERS = (
    "raravis.models.",
    "raravis.sources.",
    "raravis.scorers.",
    "raravis.senses.",
    "raravis.benchmarks.",
    "raravis.backbones.",
)
TORCH_ROOMS = (
    "raravis.sound.features",
    "raravis.blocks",
    "raravis.transformers",
    "raravis.turning",
    "raravis.views",
    "raravis.joint_terms",
    "raravis.backbones",
    "raravis.caching.reading",
    "raravis.checkpoints",
    "raravis.course",
    "raravis.distributed",
    "raravis.inference",
    "raravis.networks",
    "raravis.models.autoencoder",
    "raravis.models.series_autoencoders",
    "raravis.models.joint",
    "raravis.models.predictive",
    "raravis.models.pretexts",
    "raravis.models.vision_autoencoder",
    "raravis.training",
    "raravis.tracking",
    "raravis.layers",
    "raravis.image_layers",
    "raravis.row_networks",
    "raravis.senses.",
    "raravis.explain",
    "raravis.description",
    "raravis.comparison",
    "raravis.benchmarks.",
)
HEAVY = ("torch", "matplotlib", "pandas", "sklearn", "scipy")


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


TREES = {name_of(path): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
PATHS = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports_of(module: str) -> Iterator[str]:
    """Every module imported, at the top, inside functions and for type checking alike."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in TREES else node.module


def own_imports(module: str) -> set[str]:
    return {name for name in imports_of(module) if name in TREES and name != module}


def floor(module: str) -> int:
    if module in FLOOR_OF:
        return FLOOR_OF[module]
    package = module.rpartition(".")[0] + "."
    assert package in FLOOR_OF, f"{module} has no floor: give it one in {Path(__file__).name}"
    return FLOOR_OF[package]


every_module = pytest.mark.parametrize("module", sorted(TREES))


@every_module
def test_an_import_only_goes_down(module):
    upward = [name for name in own_imports(module) if floor(name) > floor(module)]
    assert not upward, f"{module} (floor {floor(module)}) imports from above: {upward}"


@every_module
def test_members_of_a_package_do_not_know_each_other(module):
    package = module.rpartition(".")[0] + "."
    if package in MEMBERS:
        assert not [name for name in own_imports(module) if name.startswith(package)]


def test_imports_run_in_no_circle():
    graph = {module: own_imports(module) for module in TREES}
    while leaves := [module for module, down in graph.items() if not down & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


@every_module
def test_torch_stays_in_its_rooms(module):
    if not module.startswith(TORCH_ROOMS):
        assert not [name for name in imports_of(module) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("module", ["raravis", "raravis.cli"])
def test_nothing_heavy_is_loaded_at_the_door(module):
    if module not in TREES:
        pytest.skip(f"there is no {module}")
    show = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert not set(HEAVY) & set(loaded.stdout.split())


@every_module
def test_files_and_functions_stay_short(module):
    assert len(PATHS[module].read_text().splitlines()) <= 400
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


@every_module
def test_nothing_is_asserted_swallowed_or_put_off(module):
    for node in ast.walk(TREES[module]):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error instead"
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "Exception"
            leaves = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert "Exception" not in caught or leaves, f"line {node.lineno} swallows errors"
    for word in ("TO" + "DO", "FIX" + "ME", "NotImplementedError"):
        assert word not in PATHS[module].read_text()


@every_module
def test_every_module_says_what_it_holds(module):
    assert ast.get_docstring(TREES[module])
