"""Many runs as one compiled program: seeds x hyper-parameters.

A run is a function ``(key, hparams) -> result``, such as one that calls `jaxdl.train.fit`; `sweep`
gives the results of every member (a row of the hyper-parameters) with every key, on as many devices
as there are. `sweep_in_run` is the same sweep with progress and checkpoints, which a kill or a
signal does not undo. `jaxdl.spaces` makes members.

Whatever a run does for itself it does in a sweep: one that stops early or diverges (`diverged`)
leaves the others alone.

On a device the runs of a piece go side by side (`jax.vmap`) or in turn (`jax.lax.map`), as
``in_turn`` says. Side by side is what fills a GPU, and what is fastest for runs so small that the
arithmetic of a step is not what it costs: sixteen perceptrons of 4 to 32 hidden units take 0.2 to
0.7 of the time on a CPU. Those of 128 units on MNIST's images take 1.7 times as long: one step
fills the core already, and in turn is faster. The cores are then best made devices, each with runs
of its own (``jax_num_cpu_devices`` and `jaxdl.parallel.make_mesh`).
"""

import shlex
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Key, PyTree

from jaxdl import checkpoint
from jaxdl.digest import is_key, key_bits, tree_sha256
from jaxdl.errors import InputError
from jaxdl.progress import Progress
from jaxdl.runs import Run, resolved_config
from jaxdl.signals import stop_on_signals
from jaxdl.train import NEVER, FitState
from jaxdl.types import as_pytree

RunFn = Callable[[Key[Array, ""], Any], PyTree]
"""``(key, hparams) -> result``: pure, and the result's shapes do not depend on the numbers."""

SweepFn = Callable[..., PyTree]
"""``(run, keys, hparams, *, name, ...) -> results``: `sweep_in_run` with all else of it bound."""

# Not `jaxdl.parallel.DATA_AXIS`: over that one a run would take its batches for split.
_AXIS = "runs"


def sweep(
    run: RunFn,
    keys: Array,
    hparams: PyTree,
    *,
    mesh: Mesh | None = None,
    piece_size: int | None = None,
    in_turn: bool | None = None,
) -> PyTree:
    """The results of every member with every key, by one compiled program.

    Args:
        run: of one key and one member. Bind its data with `jax.tree_util.Partial`
            (``Partial(run, examples)``): what is bound is an argument of the program and what a
            closure holds is a constant in it. A function that is defined anew compiles anew.
        keys: ``(seeds,)``, from `jax.random.split`, say; every member runs with all of them.
        hparams: a tree of arrays with a leading axis of members; without any array it is one
            member.
        mesh: devices to lay the runs over (`jaxdl.parallel.make_mesh`).
        piece_size: the most runs, over all devices, that are in memory at once; all of them by
            default. The pieces run one after the other, all by the same compiled program, and are
            of like sizes; fewer runs than devices are padded, and so is the last piece.
        in_turn: whether a device takes its runs one after the other instead of side by side; by
            default, where it is a CPU. In turn, a run that has stopped costs nothing.

    Returns:
        The result of ``run`` with leading axes ``(members, seeds)``, on the host: NumPy arrays (but
        keys stay keys), so that the device holds one piece at a time.

    Raises:
        InputError: keys that are not one axis of keys, leaves of ``hparams`` that are no numbers,
            differ in length or have no leading axis, no member or no key, a run that gives no
            array, a ``piece_size`` below 1.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> sweep(lambda key, rate: {"twice": 2 * rate}, keys, jnp.array([0.5, 1.0]))
    {'twice': array([[1., 1.],
           [2., 2.]], dtype=float32)}
    """
    plan = _plan(run, keys, hparams, mesh, in_turn)
    shapes = _shapes(plan, piece_size)
    results = _empty_results(shapes, plan.runs)
    for piece in _pieces(plan, 0, piece_size):
        _write(results, piece)
    return _finish(results, shapes, plan)


def sweep_in_run(
    directory: Run,
    run: RunFn,
    keys: Array,
    hparams: PyTree,
    *,
    config: dict[str, Any],
    name: str = "sweep",
    resume: bool = False,
    quiet: bool = False,
    mesh: Mesh | None = None,
    piece_size: int | None = None,
    in_turn: bool | None = None,
) -> PyTree:
    """The same as `sweep`, with progress, and a checkpoint of all results after each piece.

    SIGINT and SIGTERM wait for the piece under way, whose results are saved too, and leave. A
    sweep may go on with another ``piece_size``, ``mesh`` or ``in_turn``; one that was finished is
    read and not run again.

    Args:
        directory: the open run directory.
        run: as for `sweep`, like those that say no more here.
        keys: the seeds.
        hparams: the members.
        config: what must be equal for a checkpoint to be gone on with, besides the keys, the
            members and what is bound to ``run``; plain JSON values.
        name: of the sweep, where a run has several.
        resume: go on from the newest checkpoint that is whole, or begin if there is none.
        quiet: show no progress.
        mesh: devices.
        piece_size: runs between two checkpoints.
        in_turn: see `sweep`.

    Raises:
        InputError: see `sweep` and `jaxdl.checkpoint.resume`.
        Interrupted: a signal arrived, and the results so far are saved.
    """
    plan = _plan(run, keys, hparams, mesh, in_turn)
    hashes = {"run": plan.run, "keys": plan.keys, "hparams": plan.hparams}
    config = {**config, name: {part: tree_sha256(tree) for part, tree in hashes.items()}}
    folder = directory.checkpoints / name
    shapes = _shapes(plan, piece_size)
    results, done = _empty_results(shapes, plan.runs), 0
    if resume:
        restored = checkpoint.resume(folder, results, config=config)
        if restored is not None:
            results = jax.tree.map(np.array, restored.state)
            done = restored.notes["done"]
    way_on = f"saved; go on with --out {shlex.quote(str(directory.directory))} --resume"
    with stop_on_signals() as stop, Progress(plan.runs, "run", done=done, quiet=quiet) as shown:
        for piece in _pieces(plan, done, piece_size):
            done = _write(results, piece)
            checkpoint.save(folder, done, results, config=config, notes={"done": done})
            shown.update(done)
            stop.leave(way_on)
    return _finish(results, shapes, plan)


def sweeps_of(
    directory: Run, config: Any, mesh: Mesh, without: Collection[str], **given: Any
) -> SweepFn:
    """`sweep_in_run` of an experiment: its directory and devices, and how it is to go on.

    Args:
        directory: the open run directory.
        config: a dataclass of flags, `jaxdl.runs.ResumableOptions` among them.
        mesh: devices.
        without: settings that may differ when the run goes on, since what each of its sweeps does
            is the same.
        given: what else must be equal then, such as the hash of a data set.
    """
    same = {**resolved_config(config, without=without), **given}
    return partial(
        sweep_in_run, directory, config=same, resume=config.resume, quiet=config.quiet, mesh=mesh
    )


def cpu_piece(size: int) -> int | None:
    """A ``piece_size`` for a CPU alone: all runs side by side are what fills an accelerator."""
    return size if jax.default_backend() == "cpu" else None


def diverged(state: FitState) -> Bool[np.ndarray, "*runs"]:
    """Which runs ended at a step whose loss or gradient was not finite.

    Such a run's ``failed_step`` names the step; its parameters are the last good ones, and its
    history is NaN from there on, as that of a run is that stopped early.

    Args:
        state: of one run or, with leading axes, of many.
    """
    return np.asarray(state.failed_step) != NEVER


# --- one piece -----------------------------------------------------------------------------------


@jax.jit  # so that it is traced once, for its results' shapes and for the program
def _run_one(run, keys, hparams, place):
    """The run number ``place``, counted with the seeds of a member one after the other."""
    member, seed = jnp.divmod(place, keys.shape[0])
    return run(keys[seed], jax.tree.map(lambda leaf: leaf[member], hparams))


@partial(jax.jit, static_argnames=("mesh", "in_turn"))
def _run_piece(run, keys, hparams, places, *, mesh: Mesh | None, in_turn: bool):
    def share(run, keys, hparams, places):
        one = partial(_run_one, run, keys, hparams)
        return lax.map(one, places) if in_turn else jax.vmap(one)(places)

    if mesh is not None:
        everywhere, split = PartitionSpec(), PartitionSpec(_AXIS)
        share = jax.shard_map(
            share,
            mesh=mesh,
            in_specs=(everywhere, everywhere, everywhere, split),
            out_specs=split,
            check_vma=False,
        )
    return share(run, keys, hparams, places)


class _Plan(NamedTuple):
    """A sweep whose arguments were checked.

    Attributes:
        run: with what is bound to it; on all the devices, as keys and members are.
        keys: one for each seed.
        hparams: leaves with an axis of members.
        members: how many there are.
        mesh: of one axis, that of runs.
        in_turn: whether a device takes its runs one after the other.
    """

    run: Any
    keys: Array
    hparams: PyTree
    members: int
    mesh: Mesh | None
    in_turn: bool

    @property
    def seeds(self) -> int:
        return self.keys.shape[0]

    @property
    def runs(self) -> int:
        return self.members * self.seeds


def _plan(run: RunFn, keys: Array, hparams, mesh: Mesh | None, in_turn: bool | None) -> _Plan:
    """Checks the arguments of a sweep and brings them onto its devices."""
    if not is_key(keys) or keys.ndim != 1 or not keys.size:
        raise InputError(
            "a sweep needs an axis of keys, one for each seed: jax.random.split(key, 5)"
        )
    try:
        hparams = jax.tree.map(jnp.asarray, hparams)
    except TypeError as error:
        raise InputError(
            f"hyper-parameters are numbers, arrays with an axis of members: {error}"
        ) from error
    shapes = {leaf.shape[:1] for leaf in jax.tree.leaves(hparams)} or {(1,)}
    if len(shapes) > 1 or not all(shapes) or (0,) in shapes:
        lengths = ", ".join(str(shape[0]) if shape else "none" for shape in sorted(shapes))
        raise InputError(
            "every leaf of the hyper-parameters needs a leading axis of the same length, one entry "
            f"or more for each member; there are the lengths {lengths}"
        )
    ((members,),) = shapes
    if in_turn is None:
        in_turn = jax.default_backend() == "cpu"
    run = as_pytree(run)
    if mesh is not None:
        mesh = Mesh(mesh.devices.ravel(), (_AXIS,))
        everywhere = NamedSharding(mesh, PartitionSpec())
        run, keys, hparams = jax.device_put((run, keys, hparams), everywhere)
    return _Plan(run, keys, hparams, members, mesh, in_turn)


def _pieces(plan: _Plan, start: int, piece_size: int | None) -> Iterator[tuple[int, PyTree]]:
    """The results of the runs from ``start`` on: the first's number, and leaves ``(runs, ...)``."""
    size = _size(plan, start, piece_size)
    for first in range(start, plan.runs, max(1, size)):
        # Padding repeats the last run.
        places = np.minimum(np.arange(first, first + size), plan.runs - 1)
        if plan.mesh is not None:
            places = jax.device_put(places, NamedSharding(plan.mesh, PartitionSpec(_AXIS)))
        arguments = plan.run, plan.keys, plan.hparams, places
        yield first, _run_piece(*arguments, mesh=plan.mesh, in_turn=plan.in_turn)


def _size(plan: _Plan, start: int, piece_size: int | None) -> int:
    """Runs of a piece, where those from ``start`` on are to do."""
    if piece_size is not None and piece_size < 1:
        raise InputError(f"a piece of {piece_size} runs; give 1 or more")
    devices = 1 if plan.mesh is None else plan.mesh.size
    # A device's share of all runs, cut into pieces that are as equal as can be: least padding.
    share = -(-(plan.runs - start) // devices)
    most = max(1, share if piece_size is None else piece_size // devices)
    pieces = -(-share // most)
    return devices * -(-share // max(1, pieces))


# --- results on the host -------------------------------------------------------------------------


def _shapes(plan: _Plan, piece_size: int | None) -> PyTree:
    """What the first piece looks like: leaves ``(runs, ...)``."""
    places = np.arange(_size(plan, 0, piece_size))
    arguments = plan.run, plan.keys, plan.hparams, places
    return _run_piece.eval_shape(*arguments, mesh=plan.mesh, in_turn=plan.in_turn)


def _empty_results(shapes: PyTree, runs: int) -> PyTree:
    """Room for every run's result ``(runs, ...)``; keys as their integers."""
    if not jax.tree.leaves(shapes):
        raise InputError("a run must give an array or more: return what it measured")
    bits = jax.eval_shape(lambda tree: jax.tree.map(key_bits, tree), shapes)
    return jax.tree.map(lambda leaf: np.zeros((runs, *leaf.shape[1:]), leaf.dtype), bits)


def _write(results: PyTree, piece: tuple[int, PyTree]) -> int:
    """Puts a piece where it belongs, its padding left out; gives the number of runs then done."""
    first, runs = piece
    count = jax.tree.leaves(results)[0].shape[0]
    end = min(count, first + jax.tree.leaves(runs)[0].shape[0])

    def write(into, leaf):
        into[first:end] = np.asarray(key_bits(leaf))[: end - first]

    jax.tree.map(write, results, runs)
    return end


def _finish(results: PyTree, shapes: PyTree, plan: _Plan) -> PyTree:
    """The results with their leading axes, and keys made keys again, of the sweep's own kind."""
    impl = jax.random.key_impl(plan.keys)

    def finish(shape, leaf):
        leaf = leaf.reshape(plan.members, plan.seeds, *leaf.shape[1:])
        return jax.random.wrap_key_data(leaf, impl=impl) if is_key(shape) else leaf

    return jax.tree.map(finish, shapes, results)
