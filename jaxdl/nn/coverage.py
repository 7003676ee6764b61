"""Which layers' gradients can be told example by example from one backward pass through a loss."""

import collections
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxdl.nn.example_gradients import TappedUse
from jaxdl.nn.taps import TAPS, Path, Paths, Taps, Use, counting_calls
from jaxdl.types import Batch, Keys, LossAux, LossFn, ModelState, Params

ROOT = "params"


class Axes(NamedTuple):
    """The axis of examples in a use's inputs and in its outputs."""

    inputs: int
    outputs: int


class Coverage(NamedTuple):
    """What of a loss is covered by taps.

    Attributes:
        paths: of the covered layers.
        outputs: shape and dtype of the outputs of each use of a covered layer, in order.
        axes: of each of these uses.
        uncovered: why not, by the name of each of the other layers.
    """

    paths: Paths
    outputs: tuple[jax.ShapeDtypeStruct, ...]
    axes: tuple[Axes, ...]
    uncovered: dict[str, str]

    def offsets(self) -> tuple[Array, ...]:
        """Zeros, to be differentiated by."""
        return tuple(jnp.zeros(of.shape, of.dtype) for of in self.outputs)

    def tapped(
        self, uses: Iterable[Use], cotangents: Iterable[Array]
    ) -> dict[str, list[TappedUse]]:
        """The uses with their cotangents, by the name of their layer."""
        found = collections.defaultdict(list)
        for use, cotangent, axes in zip(uses, cotangents, self.axes, strict=True):
            tapped = TappedUse(use.inputs, cotangent, use.layer, *axes)
            found[layer_name(use.layer.path)].append(tapped)
        return dict(found)


def layer_name(path: Iterable[str]) -> str:
    """The name of the layer whose parameters lie at this path."""
    return "/".join(path) or ROOT


def split_layers(params: Params) -> dict[str, dict[str, Array]]:
    """Parameters, or what has their structure, by layer: arrays that share a parent in the tree."""
    layers = collections.defaultdict(dict)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        layers[_parent(path)][_last(path)] = leaf
    return dict(layers)


def join_layers(layers: dict[str, dict[str, Array]], like: Params) -> Params:
    """The inverse of `split_layers`, for parameters of the structure of ``like``."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: layers[_parent(path)][_last(path)], like
    )


def find_coverage(
    loss_fn: LossFn, params: Params, model_state: ModelState, batch: Batch, keys: Keys
) -> Coverage:
    """Looks at the loss's shapes, without computing it.

    A layer is covered if each use of it has an axis of examples, and if its parameters reach the
    losses through these uses alone. That axis is the one that grows with the batch.
    """
    layers = split_layers(params)

    def uses_for(examples: int) -> Taps:
        sized = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((examples, *leaf.shape[1:]), leaf.dtype),
            (batch, keys),
        )
        shapes = jax.eval_shape(
            lambda batch, keys: tapped_loss(loss_fn, params, model_state, batch, keys, Taps()),
            *sized,
        )
        return shapes[2]

    def nothing(reason: str) -> Coverage:
        return Coverage(Paths(frozenset()), (), (), dict.fromkeys(layers, reason))

    if not isinstance(model_state, dict):
        return nothing("its model is none of Flax")
    size = batch.weights.shape[0]
    with counting_calls() as calls:
        taps = uses_for(size)
        if calls() == 0:
            return nothing("the loss never calls a model of flax_model")
        if calls() != taps.calls.value:
            return nothing("the loss calls models of flax_model without handing on their state")
    uses = taps.uses
    axes = [_axes(*pair, size) for pair in zip(uses, uses_for(size + 1).uses, strict=True)]

    uncovered = dict.fromkeys(
        layers, "no call of it is seen, as one of Flax's or jaxdl's layers that can be tapped"
    )
    found = {layer_name(use.layer.path): use.layer.path for use in uses}
    for name in found:
        uncovered.pop(name, None)
    for use, of_use in zip(uses, axes, strict=True):
        if of_use is None:
            uncovered[layer_name(use.layer.path)] = "no axis of its arrays is that of examples"

    def losses_of(paths: dict[str, Path], some: dict) -> Array:
        taps = Taps(paths=Paths(frozenset(paths.values())))
        joined = join_layers({**layers, **some}, params)
        return tapped_loss(loss_fn, joined, model_state, batch, keys, taps)[0]

    covered = {name: path for name, path in found.items() if name not in uncovered}
    if _reaches(lambda some: losses_of(covered, some), {name: layers[name] for name in covered}):
        for name in list(covered):
            if _reaches(lambda some: losses_of(covered, some), {name: layers[name]}):
                uncovered[name] = "its parameters reach the loss on another way too"
                del covered[name]
    kept = [
        (use.outputs, of_use)
        for use, of_use in zip(uses, axes, strict=True)
        if of_use is not None and layer_name(use.layer.path) in covered
    ]
    outputs, kept_axes = zip(*kept, strict=True) if kept else ((), ())
    return Coverage(Paths(frozenset(covered.values())), outputs, kept_axes, uncovered)


def tapped_loss(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    taps: Taps,
) -> tuple[Array, LossAux, Taps]:
    """The losses, what else is seen, and the taps with the uses of the tapped layers."""
    if taps.paths.chosen == frozenset():
        return *loss_fn(params, model_state, batch, keys), taps
    losses, aux = loss_fn(params, {**model_state, TAPS: taps}, batch, keys)
    state = aux.model_state if isinstance(aux.model_state, dict) else {}
    return losses, aux._replace(model_state=model_state), state.get(TAPS, taps)


def _axes(use: Use, larger: Use, size: int) -> Axes | None:
    """None too where the loss calls the model from within a transformation, which adds an axis."""
    if use.outputs.ndim != use.layer.output_ndim + use.layer.is_mapped:
        return None
    inputs = _grown_axis(use.inputs.shape, larger.inputs.shape, size)
    outputs = _grown_axis(use.outputs.shape, larger.outputs.shape, size)
    return None if inputs is None or outputs is None else Axes(inputs, outputs)


def _grown_axis(shape: tuple[int, ...], larger: tuple[int, ...], size: int) -> int | None:
    grown = [axis for axis, pair in enumerate(zip(shape, larger, strict=True)) if len({*pair}) > 1]
    is_whole = len(grown) == 1 and shape[grown[0]] == size and larger[grown[0]] == size + 1
    return grown[0] if is_whole else None


def _reaches(losses_of: Callable[[PyTree], Array], params: PyTree) -> bool:
    """Whether the losses depend on the parameters, by the structure of the program alone.

    A rule of one's own can ask whether an array depends on what is differentiated by.
    """
    seen: list[bool] = []

    @jax.custom_vjp
    def probe(losses: Array) -> Array:
        return losses

    def forward(losses: Any):
        seen.append(losses.perturbed)
        return losses.value, None

    def backward(_, cotangent):
        return (cotangent,)

    probe.defvjp(forward, backward, symbolic_zeros=True)
    jax.eval_shape(lambda params: jax.vjp(lambda some: probe(losses_of(some)), params)[0], params)
    return any(seen)


def _parent(path: tuple) -> str:
    return jax.tree_util.keystr(path[:-1], simple=True, separator="/") or ROOT


def _last(path: tuple) -> str:
    return jax.tree_util.keystr(path[-1:], simple=True)
