"""Every test runs with the shapes in jaxdl's signatures checked and rank promotion an error."""

import dataclasses
import os
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("jaxdl", "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")
# XLA reads its flags when the first computation runs.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
# Of the workers of pytest-xdist, which begin after this: see experiments/__init__.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Compiles in a hurry: tests compile far more than they compute.

    With few of LLVM's optimizations, and each fusion written the plain way, they take half of the
    time. The slow ones, which train, see every optimization, as doctests do.
    """
    if config.option.markexpr == "not slow":
        flags = " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] += flags


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def raw_data() -> Path:
    """The folder of original data files beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the original data files in {SHARED}")
    return SHARED


@pytest.fixture
def few_digits(monkeypatch):
    """A data set of 192 and 64 digits, for runs of a second; returned, and what is loaded."""
    from jaxdl import data  # behind the hook above
    from jaxdl.types import Examples

    whole = data.load("mnist_5k")
    train, test = (
        Examples(part.inputs[:count], part.targets[:count])
        for part, count in ((whole.train, 192), (whole.test, 64))
    )
    dataset = dataclasses.replace(whole, train=train, test=test)
    monkeypatch.setattr(data, "load", lambda *_, **__: dataset)
    return dataset
