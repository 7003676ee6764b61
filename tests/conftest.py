"""Every test runs with the shapes in jaxdl's signatures checked and rank promotion an error."""

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

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def raw_data() -> Path:
    """The folder of original data files beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the original data files in {SHARED}")
    return SHARED
