"""Checkpoints with Orbax: written whole or not at all, checked when read, never pickled.

A checkpoint is a folder named by its step. It holds the arrays of a state by their paths, and a
description in JSON: the configuration of the run, what the run has to remember beside its arrays,
and a hash of everything. A reader that finds the hash wrong passes over the checkpoint.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from jaxdl.digest import is_key, key_bits, named_leaves, tree_sha256, with_names
from jaxdl.errors import InputError

KEPT = 2
"""How many checkpoints stay: the newest, and one to fall back on should it be damaged."""


class Restored(NamedTuple):
    """What `restore_newest` found.

    Attributes:
        state: in the form and types of the state asked for.
        notes: what was saved beside it.
        passed_over: one line for each newer checkpoint that is damaged.
    """

    state: PyTree
    notes: dict[str, Any]
    passed_over: tuple[str, ...]


def save(
    folder: Path, step: int, state: PyTree, *, config: dict[str, Any], notes: dict[str, Any]
) -> None:
    """Writes ``folder/STEP`` in one atomic move and removes all but the newest `KEPT`.

    Args:
        folder: of this run's checkpoints; made if need be.
        step: counts up from checkpoint to checkpoint.
        state: a pytree of arrays; random keys are stored as their integers.
        config: what must be equal for a run to go on from here; plain JSON values.
        notes: anything else to remember; plain JSON values.
    """
    arrays = {name: jnp.asarray(array) for name, array in named_leaves(state).items()}
    description = {"config": config, "notes": notes, "arrays_sha256": tree_sha256(arrays)}
    description["sha256"] = _json_sha256(description)
    # A run that failed at the first step after a checkpoint ends at that checkpoint's step.
    shutil.rmtree(folder / str(step), ignore_errors=True)
    with _manager(folder) as manager:
        manager.save(
            step,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays), description=ocp.args.JsonSave(description)
            ),
            force=True,
        )


def restore_newest(folder: Path, like: PyTree, *, config: dict[str, Any]) -> Restored | None:
    """The newest checkpoint that is whole, or None where there is none at all.

    Damaged ones are moved to ``folder/damaged`` and passed over.

    Args:
        folder: as given to `save`.
        like: a state of the same structure, shapes and types (`jax.eval_shape` gives one too).
        config: of the run that wants to go on.

    Raises:
        InputError: every checkpoint is damaged, or the newest whole one is of another
            configuration; the message names the difference.
    """
    if not folder.is_dir():
        return None
    passed_over = []
    for step in sorted(_steps(folder), reverse=True):
        path = (folder / str(step)).absolute()
        try:
            description = _read_description(path)
            _check_config(path, description["config"], config)
            arrays = _read_arrays(path, like, description["arrays_sha256"])
        except InputError:
            raise
        # Whatever Orbax, TensorStore or JSON raise on damaged bytes, and they raise many things,
        # means the same here.
        except Exception as error:
            reason = str(error).strip().split("\n")[0][:100] or type(error).__name__
            passed_over.append(f"checkpoint {path} is damaged and passed over ({reason})")
            _set_aside(path)
            continue
        return Restored(_rebuild(like, arrays), description["notes"], tuple(passed_over))
    if passed_over:
        raise InputError(
            f"no checkpoint in {folder} can be read: {len(passed_over)} damaged, moved to "
            f"{folder / 'damaged'}\nbegin anew with another --out"
        )
    return None


def _manager(folder: Path) -> ocp.CheckpointManager:
    # Orbax reports each phase of each save; a run's own progress is what its user wants to read.
    logging.getLogger("absl").setLevel(logging.ERROR)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


def _steps(folder: Path) -> list[int]:
    """The steps of finished checkpoints; unfinished ones have a suffix until Orbax moves them."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def _read_description(path: Path) -> dict[str, Any]:
    """Reads what was saved beside the arrays; raises something if it is not as it was written."""
    description = json.loads((path / "description" / "metadata").read_text())
    if description.pop("sha256") != _json_sha256(description):
        raise ValueError("its description does not have the hash it was written with")
    return description


def _read_arrays(path: Path, like: PyTree, sha256: str) -> dict[str, jax.Array]:
    """Reads the arrays; raises something if they are not as they were written."""
    shapes = jax.eval_shape(lambda tree: jax.tree.map(key_bits, tree), like)
    target = dict(with_names(shapes))
    with ocp.StandardCheckpointer() as reader:
        arrays = reader.restore(path / "arrays", target)
    if tree_sha256(arrays) != sha256:
        raise ValueError("its arrays do not have the hash they were written with")
    return arrays


def _json_sha256(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _check_config(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    saved, wanted = _flat(json.loads(json.dumps(saved))), _flat(json.loads(json.dumps(wanted)))
    different = [
        f"{name} was {saved.get(name)!r}, is {wanted.get(name)!r}"
        for name in sorted(saved.keys() | wanted.keys())
        if saved.get(name) != wanted.get(name)
    ]
    if different:
        raise InputError(
            f"checkpoint {path} is of another configuration: {'; '.join(different[:4])}\n"
            "give the same flags to go on, or another --out to begin anew"
        )


def _flat(tree: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {name: tree}
    prefix = f"{name}." if name else ""
    return {k: v for key, value in tree.items() for k, v in _flat(value, prefix + key).items()}


def _rebuild(like: PyTree, arrays: dict[str, jax.Array]) -> PyTree:
    leaves = []
    for name, old in with_names(like):
        array = arrays[name]
        if is_key(old):
            array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(old))
        leaves.append(array)
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _set_aside(path: Path) -> None:
    aside = path.parent / "damaged" / path.name
    aside.parent.mkdir(exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
