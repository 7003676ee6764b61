"""Modules import downwards only: the direction that keeps each of them readable alone."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "jaxdl"

LAYERS = [
    {"types", "errors", "parallel", "precision", "pixels", "digest", "statistics", "spaces"},
    {"losses", "objectives", "logistic", "separability", "surfaces", "nn", "data", "sampling"},
    {"models", "gradients", "optim"},
    {"train", "diagnostics", "noise", "paths"},
    {"adversarial", "checkpoint", "privacy", "tradeoff"},
    {"runs", "plots", "progress", "signals"},
    {"cli", "sessions", "claims", "sweep", "instruments"},
    {"classifiers", "judge"},
    {"generators"},
]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}
FLAX_ROOMS = {"nn", "models"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def room(path: Path, package: Path = PACKAGE) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.stem != "__init__"],
)
def test_direction(path):
    here = room(path)
    for name in imported(path):
        if name.startswith("experiments"):
            pytest.fail(f"{path} imports {name}")
        if name.split(".")[0] == "flax":
            assert here in FLAX_ROOMS, f"{path} imports Flax"
        parts = name.split(".")
        if parts[0] == "jaxdl" and len(parts) > 1 and parts[1] != here:
            assert LAYER[parts[1]] <= LAYER[here], f"{path} imports {name}"
            assert not (here == "train" and parts[1] == "models")


def test_experiments_do_not_import_each_other():
    """But for those that rebuild the network that a run of another one trained, and the gallery."""
    experiments = PACKAGE.parent / "experiments"
    for path in experiments.rglob("*.py"):
        here = room(path, experiments)
        rooms = {name.split(".")[1] for name in imported(path) if name.startswith("experiments.")}
        is_free = here in {"__main__", "benchmarks", "predict", "generate_text", "explore_latent"}
        assert is_free or rooms <= {here}, f"{path} imports {rooms}"
