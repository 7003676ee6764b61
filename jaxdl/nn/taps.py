"""Taps: what each layer of a Flax model was given, and the way to the cotangents of its outputs.

An example's gradient of a layer follows from the layer's inputs and the cotangents of its outputs
(`jaxdl.nn.example_gradients`). So a `jaxdl.nn.flax_model` whose model state holds `Taps`, under the
name `TAPS`,

- adds an *offset* of zeros to the outputs of each use of a layer: the gradient by the offset is
  the cotangent;
- hands out each `Use` in its new model state, under the same name, through any loss function: a
  loss that calls a model twice hands the state of the first call to the second;
- runs the tapped layers on constants, so that the gradient by the parameters is of what reaches
  the loss on other ways than through the tapped layers: nothing, most often.

A *layer* here is a module of Flax's or of `jaxdl.nn`, as it comes (without a function of one's own
that it is to compute by), whose parameters are all its own, called on one array, and not from
within a transformation inside the model (`jax.vmap`, `jax.checkpoint`, a scan): out of these
nothing can be handed. Any other module may do anything, such as hold what is being traced, or ask
for random numbers where there are some, and would not do the same alone.

A layer of `jaxdl.nn` whose parameters do not meet its inputs all at once may *tap itself*: its
method ``tapped`` takes the offset and what ``__call__`` takes, and gives besides the layer's
outputs the inputs of another layer, a linear one in the same parameters, which stands for it in a
`Use`; an array like the outputs of that one; and that one. The cotangent of the offset is that of
these outputs. ``can_be_tapped`` tells whether it does so.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core.tracers import current_trace
from flax.errors import FlaxError
from jax import lax
from jaxtyping import Array, PyTree

from jaxdl.types import Static

TAPS = "taps"

Path = tuple[str, ...]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Layer:
    """A layer apart from the model that it is part of: static, and no leaf of a pytree.

    Attributes:
        path: to its parameters, in those of the model.
        module: unbound.
        output_ndim: of its outputs, where it was called.
        is_mapped: the model runs under `jax.vmap`, one example at a time: the inputs and outputs
            of a use have the axis of examples in front, and then that of a batch of one.
    """

    path: Path
    module: nn.Module
    output_ndim: int
    is_mapped: bool

    def apply(self, params: PyTree, inputs: Array) -> Array:
        """The outputs, where the inputs are those of a `Use`."""

        def call(inputs: Array) -> Array:
            return jnp.asarray(self.module.apply({"params": params}, inputs))

        return jax.vmap(call)(inputs) if self.is_mapped else call(inputs)


class Use(NamedTuple):
    """One call of a layer."""

    inputs: Array
    outputs: Array
    layer: Layer


@jax.tree_util.register_static
@dataclass(frozen=True)
class Paths:
    """The layers to tap, static; None for all."""

    chosen: frozenset[Path] | None = None

    def __contains__(self, path: Path) -> bool:
        return self.chosen is None or path in self.chosen


class Taps(NamedTuple):
    """What goes in, and what comes out.

    Attributes:
        offsets: for each use, in order; none, only to see the uses.
        paths: of the layers to tap.
        uses: so far.
        calls: of models so far.
    """

    offsets: tuple[Array, ...] = ()
    paths: Paths = Paths()
    uses: tuple[Use, ...] = ()
    calls: Static[int] = Static(0)

    def to_come(self) -> "Taps":
        """Those of the next call alone."""
        return Taps(self.offsets[len(self.uses) :], self.paths)

    def after(self, uses: tuple[Use, ...]) -> "Taps":
        """With the uses of one call more."""
        return self._replace(uses=self.uses + uses, calls=Static(self.calls.value + 1))


_tapped_calls: list[int] = []


@contextlib.contextmanager
def counting_calls() -> Iterator[Callable[[], int]]:
    """Counts the calls of tapped models: more than `Taps.calls`, if their states were not kept."""
    _tapped_calls.append(0)
    try:
        yield lambda: _tapped_calls[-1]
    finally:
        _tapped_calls.pop()


def call_tapped(call: Callable[[], PyTree], taps: Taps, *, is_mapped: bool):
    """Calls a Flax model with taps.

    Args:
        call: the model, bound to all of its arguments.
        taps: those of this call.
        is_mapped: see `Layer`.

    Returns:
        What the model gives, and its uses, a tuple of `Use`.
    """
    uses: list[Use] = []
    root, trace = None, current_trace()

    def intercept(next_function, args, kwargs, context):
        nonlocal root
        module = context.module
        root = root or module.scope.root  # of the model itself, whose call comes first
        # A lifted transform (a scan) has a root of its own, one of JAX a trace of its own.
        is_within = module.scope.root is not root or current_trace() != trace
        if is_within or kwargs or context.method_name != "__call__" or not _is_layer(module, args):
            return next_function(*args, **kwargs)
        alone = module.clone(parent=None, name=None)
        if module.path not in taps.paths or not _is_hashable(alone):
            return next_function(*args)
        variables = {"params": lax.stop_gradient(module.variables["params"])}
        offset = taps.offsets[len(uses)] if taps.offsets else None
        try:
            call = _call_self_tapped if hasattr(alone, "tapped") else _call_layer
            tapped = call(alone, variables, offset, args)
        except FlaxError:  # it draws, or has parameters or state that are not its own
            return next_function(*args)
        if not _is_inexact(tapped.sums):
            return next_function(*args)
        layer = Layer(module.path, tapped.layer, tapped.sums.ndim, is_mapped)
        uses.append(Use(tapped.inputs, tapped.sums, layer))
        return tapped.outputs

    if _tapped_calls:
        _tapped_calls[-1] += 1
    with nn.intercept_methods(intercept):
        outputs = call()
    return outputs, tuple(uses)


class _Tapped(NamedTuple):
    """A layer that was called: its outputs, and of a use the inputs, the outputs and the layer."""

    outputs: PyTree
    inputs: Array
    sums: Array
    layer: nn.Module


def _call_layer(alone: nn.Module, variables: PyTree, offset: Array | None, args: tuple) -> _Tapped:
    outputs: Any = alone.apply(variables, *args)
    if offset is not None and _is_inexact(outputs):
        # Of every example, even where the outputs are of none (those of a constant).
        outputs = outputs + offset
    return _Tapped(outputs, args[0], outputs, alone)


def _call_self_tapped(alone: Any, variables: PyTree, offset: Array | None, args: tuple) -> _Tapped:
    return _Tapped(*alone.apply(variables, offset, *args, method=alone.tapped))


def _is_inexact(outputs: Any) -> bool:
    return isinstance(outputs, jax.Array) and jnp.issubdtype(outputs.dtype, jnp.inexact)


def _is_layer(module: Any, args: tuple) -> bool:
    params = module.variables.get("params", {})
    has_only_arrays = bool(params) and all(isinstance(of, jax.Array) for of in params.values())
    if not (has_only_arrays and _is_known(module)):
        return False
    if hasattr(module, "tapped"):
        return module.can_be_tapped()
    return len(args) == 1 and isinstance(args[0], jax.Array)


_LIBRARIES = ("flax.linen.", "jaxdl.nn.")

_HOOKS = (
    *("promote_dtype", "dot_general", "dot_general_cls"),
    *("conv_general_dilated", "conv_general_dilated_cls"),
)
"""Fields of Flax's layers by which they compute something else."""


def _is_known(module: nn.Module) -> bool:
    """Whether it is of a library's very class, not of one derived from it, and no hook is set."""
    kind = type(module)
    return kind.__module__.startswith(_LIBRARIES) and all(
        getattr(module, hook, None) is getattr(kind, hook, None) for hook in _HOOKS
    )


def _is_hashable(module: nn.Module) -> bool:
    """Whether none of its attributes is an array, be it traced or not."""
    try:
        hash(module)
    except TypeError:
        return False
    return True
