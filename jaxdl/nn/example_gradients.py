"""The norm of each example's gradient, layer by layer, without a backward pass for each example.

Where a layer multiplies, at each of an example's P positions, K inputs by a matrix for F outputs
(a dense layer has one position for each of its leading axes, a convolution one for each place of
its kernel), the example's gradient is ``X^T D``, with the inputs ``X (P, K)`` and the cotangents
``D (P, F)``. Its squared norm comes from

- the gradient itself, ``|X^T D|^2``, P K F multiplications, if it is small; or
- the Gram matrices, ``sum_pq (X X^T)_pq (D D^T)_pq``, P^2 (K + F), with which it is never formed
  (Goodfellow 2015, arXiv:1510.01799, for P = 1; Li et al. 2022, arXiv:2110.05679, section 4, for
  any P).

The cheaper one by that count is taken. Where the products of the Gram matrices cancel, so that what
is left of them is rounding (inputs alike at all positions whose cotangents sum to 0, as before an
instance norm), the gradient itself is formed after all (`_unless_cancelled`). A parameter that is
used several times has more positions: the sum over uses comes before the norm, as it must. The
gradient of a mean, weighted example by example, then takes one product per layer ("book-keeping",
Bu et al. 2023, arXiv:2210.00038), for any shape: a second, reweighted backward pass would take it
too, and the products for the inputs besides.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from jaxdl.nn.convolution import COST_OF_MOVING, Padding, Pair, explicit_padding, windows
from jaxdl.nn.layers import Conv, DenseOfImages
from jaxdl.nn.recurrent_layers import RecurrentSums
from jaxdl.nn.taps import Layer
from jaxdl.precision import widened
from jaxdl.types import Params


class TappedUse(NamedTuple):
    """A use of a layer, with the cotangents of its outputs.

    Attributes:
        inputs: as the layer had them.
        cotangents: of its outputs.
        layer: which.
        input_axis: the axis of examples in ``inputs``.
        output_axis: the one in ``cotangents``.
    """

    inputs: Array
    cotangents: Array
    layer: Layer
    input_axis: int
    output_axis: int


class LayerGradients(NamedTuple):
    """What is known of each example's gradient of a layer.

    Attributes:
        squared_norms: ``(batch,)``.
        weighted_sum: the sum over examples, each times its weight ``(batch,)`` if there are
            weights. One of weight 0 does not count, be it NaN.
    """

    squared_norms: Float[Array, " batch"]
    weighted_sum: Callable[[Float[Array, " batch"] | None], Params]


class One(NamedTuple):
    """A use, its examples along a leading axis: of each the layer's arrays for a batch of one."""

    inputs: Array
    cotangents: Array


def layer_gradients(params: Params, uses: Sequence[TappedUse]) -> LayerGradients:
    """The examples' gradients of one layer, the squares of whose norms are never below 0.

    Args:
        params: of the layer.
        uses: of the layer, all of them.
    """
    found = _norms_or_gradients(uses[0].layer.module, params, uses)
    if isinstance(found, jax.Array):
        return LayerGradients(found, functools.partial(_sum_from_uses, params, uses))
    return LayerGradients(sum_of_squares(found), functools.partial(_sum_from_gradients, found))


def _sum_from_gradients(gradients: Params, weights: Float[Array, " batch"] | None) -> Params:
    def of_leaf(leaf: Array) -> Array:
        if weights is None:
            return leaf.sum(axis=0)
        return jnp.tensordot(weights, _hidden(leaf, 0, weights), 1, precision="highest")

    return jax.tree.map(of_leaf, gradients)


def _sum_from_uses(
    params: Params, uses: Sequence[TappedUse], weights: Float[Array, " batch"] | None
) -> Params:
    """One product: what the ordinary backward pass would take."""
    if weights is not None:
        uses = [_weighted(use, weights) for use in uses]
    _, pull = jax.vjp(lambda params: [use.layer.apply(params, use.inputs) for use in uses], params)
    return pull([use.cotangents for use in uses])[0]


def sum_of_squares(gradients: PyTree[Float[Array, "batch ..."]]) -> Float[Array, " batch"]:
    """The squared norm of each example's entries, in float32 at least, as products with ones.

    XLA's own reduction takes several times as long on a CPU.
    """
    squares = [_row_sums(jnp.square(widened(leaf))) for leaf in jax.tree.leaves(gradients)]
    return functools.reduce(jnp.add, squares)


# --- one rule for each kind of layer -------------------------------------------------------------

Uses = Sequence[TappedUse]
NormsOrGradients = Array | dict[str, Array]


def _norms_or_gradients(module: nn.Module, params: Params, uses: Uses) -> NormsOrGradients:
    """The squared norms, or else the very gradients, whichever is the cheaper to have."""
    rule = _RULES.get(type(module))
    found = rule(module, params, uses) if rule else None
    return _of_any(module, params, uses) if found is None else found


def _of_any(module: nn.Module, params: Params, uses: Uses) -> dict[str, Array]:
    """Those of a layer without a rule: it is differentiated, one example at a time."""

    def gradient(one: One) -> Params:
        _, pull = jax.vjp(lambda params: module.apply({"params": params}, one.inputs), params)
        return pull(one.cotangents)[0]

    return _sum_trees([jax.vmap(gradient)(_one(use)) for use in uses])


def _of_dense(module: nn.Dense, params: Params, uses: Uses) -> NormsOrGradients:
    inputs, cotangents = _joined(uses)
    return _of_products(inputs, cotangents, module.use_bias)


def _of_dense_of_images(
    module: DenseOfImages, params: Params, uses: Uses
) -> NormsOrGradients | None:
    if len(uses) > 1 or not _is_one_image(uses[0], module.layout):
        return None
    use = uses[0]
    squares = _squares(use.inputs, use.input_axis)
    return (squares + 1.0) * _squares(use.cotangents, use.output_axis)


def _of_embedding(module: nn.Embed, params: Params, uses: Uses) -> NormsOrGradients:
    """An example's gradient has the sum of the cotangents of a token in that token's row.

    Each position of a token has that sum, so its square counts once for all of them together.
    """
    ones = [_one(use) for use in uses]
    tokens = jnp.concatenate([one.inputs.reshape(len(one.inputs), -1) for one in ones], axis=1)
    tokens = jnp.where(tokens < 0, tokens + module.num_embeddings, tokens)  # counted from the end
    cotangents = widened(jnp.concatenate([_positions(one.cotangents) for one in ones], axis=1))
    is_same = tokens[:, :, None] == tokens[:, None, :]
    is_same = is_same.astype(cotangents.dtype)
    sums = jnp.einsum("npq,nqf->npf", is_same, cotangents, precision="highest")
    return _row_sums(jnp.square(sums) / is_same.sum(axis=2, keepdims=True))


def _of_our_conv(module: Conv, params: Params, uses: Uses) -> NormsOrGradients | None:
    if not all(_is_one_image(use, module.layout) for use in uses):
        return None
    kernel_size, strides = params["kernel"].shape[:2], _pair(module.strides)
    return _of_convolution(uses, kernel_size, strides, module.padding, module.layout, True)


def _of_flax_conv(module: nn.Conv, params: Params, uses: Uses) -> NormsOrGradients | None:
    is_understood = (
        params["kernel"].ndim == 4
        and all(_is_one_image(use, "NHWC") for use in uses)
        and _pair(module.input_dilation) == _pair(module.kernel_dilation) == (1, 1)
        and module.feature_group_count == 1
        and module.mask is None
        and module.padding in ("SAME", "VALID")
    )
    if not is_understood:
        return None
    kernel_size, strides = params["kernel"].shape[:2], _pair(module.strides)
    padding = str(module.padding)
    return _of_convolution(uses, kernel_size, strides, padding, "NHWC", module.use_bias)


def _of_recurrent(module: RecurrentSums, params: Params, uses: Uses) -> Array:
    """Each parameter of its own, or part of one, adds the square of a product."""
    seen, cotangents = _joined(uses)
    products = module.products(seen, cotangents)
    squares = [_squares_of_products(*product) for product in products]
    return functools.reduce(jnp.add, squares)


_RULES: dict[type[nn.Module], Callable[..., NormsOrGradients | None]] = {
    nn.Dense: _of_dense,
    DenseOfImages: _of_dense_of_images,
    nn.Embed: _of_embedding,
    Conv: _of_our_conv,
    nn.Conv: _of_flax_conv,
    RecurrentSums: _of_recurrent,
}
"""By the very class of the layer; None where a layer of it is set up in a way that has no rule."""

_CANCELLED = 0.01
"""The part left of a sum's terms from which on it is trusted: norms to 5e-6 in float32."""

_AT_A_TIME = 16
"""Examples whose gradients are formed where that is not so."""


def _unless_cancelled(
    inner: Float[Array, "batch p p"],
    outer: Float[Array, "batch p p"],
    gradients: Callable[[Array, Array], NormsOrGradients],
    examples: tuple[Array, Array],
) -> Float[Array, " batch"]:
    """``sum_pq inner_pq outer_pq`` of Gram matrices, if it is no small difference for any example.

    Each entry is rounded by as much as the lengths of its two vectors have it, at random, and by a
    part of itself, which may be alike for all of them. Where that may be seen the squares come from
    the gradients themselves, a few examples at a time, lest they fill the memory.

    Args:
        inner: of the inputs.
        outer: of the cotangents.
        gradients: of examples, from what ``examples`` has of them.
        examples: two arrays with an axis of examples in front.
    """
    products = inner * outer
    squares = _row_sums(products)
    lengths = jnp.trace(inner, axis1=1, axis2=2) * jnp.trace(outer, axis1=1, axis2=2)
    terms = _row_sums(jnp.abs(products)) + lengths / inner.shape[1]

    def anew() -> Float[Array, " batch"]:
        def square(example: tuple[Array, Array]) -> Array:
            return sum_of_squares(gradients(*(side[None] for side in example)))[0]

        return lax.map(square, examples, batch_size=min(_AT_A_TIME, len(squares)))

    return lax.cond(jnp.any(squares < _CANCELLED * terms), anew, lambda: squares)


def _is_one_image(use: TappedUse, layout: str) -> bool:
    """Whether an example has one image there, not several as a batch."""
    shape = _one(use).inputs.shape
    return len(shape) == 5 and shape[1 + layout.index("N")] == 1


# --- dense layers --------------------------------------------------------------------------------


def _of_products(
    inputs: Float[Array, "batch positions inputs"],
    cotangents: Float[Array, "batch positions outputs"],
    use_bias: bool,
) -> NormsOrGradients:
    (_, positions, columns), features = inputs.shape, cotangents.shape[2]
    if positions * (columns + features) < columns * features:
        return _norms_by_gram(inputs, cotangents, use_bias=use_bias)
    return _gradients_of_products(inputs, cotangents, use_bias=use_bias)


def _squares_of_products(
    inputs: Float[Array, "batch positions inputs"],
    cotangents: Float[Array, "batch positions outputs"],
    use_bias: bool,
) -> Float[Array, " batch"]:
    found = _of_products(inputs, cotangents, use_bias)
    return found if isinstance(found, jax.Array) else sum_of_squares(found)


def _gradients_of_products(
    inputs: Float[Array, "batch positions inputs"],
    cotangents: Float[Array, "batch positions outputs"],
    *,
    use_bias: bool,
) -> dict[str, Array]:
    kernel = jnp.einsum("npk,npf->nkf", inputs, cotangents, precision="highest")
    bias = {"bias": cotangents.sum(axis=1)} if use_bias else {}
    return {"kernel": kernel, **bias}


def _norms_by_gram(
    inputs: Float[Array, "batch positions inputs"],
    cotangents: Float[Array, "batch positions outputs"],
    *,
    use_bias: bool,
) -> Float[Array, " batch"]:
    inputs, cotangents = widened(inputs), widened(cotangents)
    if inputs.shape[1] == 1:
        squares = _row_sums(jnp.square(inputs)) + (1.0 if use_bias else 0.0)
        return squares * _row_sums(jnp.square(cotangents))
    gram = functools.partial(jnp.einsum, "npk,nqk->npq", precision="highest")
    # A bias is one more input, which is 1 at each position.
    inner = gram(inputs, inputs) + (1.0 if use_bias else 0.0)
    gradients = functools.partial(_gradients_of_products, use_bias=use_bias)
    outer = gram(cotangents, cotangents)
    return _unless_cancelled(inner, outer, gradients, (inputs, cotangents))


# --- convolutions --------------------------------------------------------------------------------


def _of_convolution(
    uses: Uses,
    kernel_size: Pair,
    strides: Pair,
    padding: Padding,
    layout: str,
    use_bias: bool,
) -> NormsOrGradients:
    """Chooses by the cost of an example: multiplications, and numbers that are copied."""
    images, cotangents = zip(*(_sides(use, layout) for use in uses), strict=True)
    pads = [explicit_padding(of.shape, kernel_size, strides, padding, "NCHW") for of in images]
    channels, _, width = images[0].shape[1:]
    features, out_height, out_width = cotangents[0].shape[1:]
    (kernel_height, kernel_width), positions = kernel_size, out_height * out_width
    column = kernel_height * kernel_width * channels
    costs = {
        _by_patches: positions * (column * features + COST_OF_MOVING * (column + features)),
        _convolution_norms_by_gram: positions**2 * (channels + features)
        + COST_OF_MOVING * (kernel_height * (out_height * width) ** 2 + kernel_width * positions**2)
        if len(uses) == 1
        else math.inf,
    }
    method = min(costs, key=costs.__getitem__)
    shape = (*kernel_size, strides)
    if method is _convolution_norms_by_gram:
        return _convolution_norms_by_gram(images[0], cotangents[0], *shape, pads[0], use_bias)
    gradients = [
        _by_patches(x, d, *shape, pad, use_bias)
        for x, d, pad in zip(images, cotangents, pads, strict=True)
    ]
    return _sum_trees(gradients)


def _by_patches(
    images: Float[Array, "batch channels height width"],
    cotangents: Float[Array, "batch features out_height out_width"],
    kernel_height: int,
    kernel_width: int,
    strides: Pair,
    pads: tuple[Pair, Pair],
    use_bias: bool,
) -> dict[str, Array]:
    """Copies the patch under each output, then takes one product for each example."""
    patches = windows(jnp.pad(images, ((0, 0), (0, 0), *pads)), 3, kernel_width, strides[1])
    patches = windows(patches, 3, kernel_height, strides[0])
    batch, *kernel_shape, _, _ = patches.shape
    gradients = _products(
        patches.reshape(batch, math.prod(kernel_shape), -1),
        cotangents.reshape(batch, cotangents.shape[1], -1),
    )
    bias = {"bias": cotangents.sum(axis=(2, 3))} if use_bias else {}
    return {"kernel": gradients.reshape(batch, *kernel_shape, -1), **bias}


def _convolution_norms_by_gram(
    images: Float[Array, "batch channels height width"],
    cotangents: Float[Array, "batch features out_height out_width"],
    kernel_height: int,
    kernel_width: int,
    strides: Pair,
    pads: tuple[Pair, Pair],
    use_bias: bool,
) -> Float[Array, " batch"]:
    """The Gram matrix of the patches, summed from that of the pixels.

    The product of two patches is the sum, over the places of the kernel, of the products of two
    pixels that are as far from each other as the patches are: first over the kernel's rows, then
    over its columns. So the patches are never copied out.
    """
    (batch, _, height, width), (*_, out_height, out_width) = images.shape, cotangents.shape
    gram = _gram(images).reshape(batch, height, width, height, width)
    gram = _sum_of_shifts(gram, (1, 3), kernel_height, strides[0], pads[0], out_height)
    gram = _sum_of_shifts(gram, (2, 4), kernel_width, strides[1], pads[1], out_width)
    positions = out_height * out_width
    inner = gram.reshape(batch, positions, positions) + (1.0 if use_bias else 0.0)
    gradients = functools.partial(
        _by_patches,
        kernel_height=kernel_height,
        kernel_width=kernel_width,
        strides=strides,
        pads=pads,
        use_bias=use_bias,
    )
    return _unless_cancelled(inner, _gram(cotangents), gradients, (images, cotangents))


def _sum_of_shifts(
    gram: Array, axes: Pair, size: int, stride: int, padding: Pair, out_size: int
) -> Array:
    """``sum_i gram[p s + i, q s + i]`` for each pair (p, q) of places along two axes."""
    widths = [padding if axis in axes else (0, 0) for axis in range(gram.ndim)]
    gram, stop = jnp.pad(gram, widths), (out_size - 1) * stride + 1

    def shift(i: int) -> Array:
        first = lax.slice_in_dim(gram, i, i + stop, stride, axes[0])
        return lax.slice_in_dim(first, i, i + stop, stride, axes[1])

    return sum((shift(i) for i in range(1, size)), start=shift(0))


def _gram(maps: Float[Array, "batch channels height width"]) -> Float[Array, "batch p p"]:
    maps = widened(maps).reshape(*maps.shape[:2], -1)
    return jnp.einsum("ncp,ncq->npq", maps, maps, precision="highest")


def _products(
    inputs: Float[Array, "batch k p"], cotangents: Float[Array, "batch f p"]
) -> Float[Array, "batch k f"]:
    inputs, cotangents = widened(inputs), widened(cotangents)
    return jnp.einsum("nkp,nfp->nkf", inputs, cotangents, precision="highest")


def _sides(use: TappedUse, layout: str) -> One:
    """The use's images and cotangents as ``NCHW``."""

    def arranged() -> One:
        return One(*(_channels_first(side, layout) for side in _one(use)))

    return _materialized(arranged, use.cotangents.ravel()[0])


def _channels_first(ones: Array, layout: str) -> Array:
    """Images behind an axis of examples, each a batch of one, as ``NCHW``."""
    return ones.transpose(0, *(1 + layout.index(axis) for axis in "NCHW")).squeeze(1)


def _materialized(arrange: Callable[[], One], number: Array) -> One:
    """``arrange()``, computed from arrays in memory.

    On a CPU, XLA would work out all that is elementwise before a transposition in the order that
    comes after it, stride by stride, and do so again for each consumer: four times as slow as all
    the rest. Into a branch it does not fuse; so here is one, always taken, that it cannot foresee.

    Args:
        arrange: its arrays are bound to it.
        number: any.
    """
    if jax.default_backend() != "cpu":
        return arrange()
    shapes = jax.eval_shape(arrange)
    is_certain = ~(number > jnp.inf)
    return lax.cond(
        is_certain,
        arrange,
        lambda: jax.tree.map(lambda of: jnp.zeros(of.shape, of.dtype), shapes),
    )


def _pair(value: int | Sequence[int] | None) -> Pair:
    """A setting of a convolution for both of its axes: one number, two, or none for 1."""
    if value is None or isinstance(value, int):
        return (value or 1, value or 1)
    return (value[0], value[-1])


# --- examples ------------------------------------------------------------------------------------


def _one(use: TappedUse) -> One:
    """The use with its examples in front, each a batch of one as its layer takes it."""
    if use.layer.is_mapped:
        return One(use.inputs, use.cotangents)
    return One(
        jnp.expand_dims(jnp.moveaxis(use.inputs, use.input_axis, 0), 1 + use.input_axis),
        jnp.expand_dims(jnp.moveaxis(use.cotangents, use.output_axis, 0), 1 + use.output_axis),
    )


def _weighted(use: TappedUse, weights: Float[Array, " batch"]) -> TappedUse:
    cotangents = _along(use.output_axis, weights, use.cotangents) * use.cotangents
    return use._replace(
        inputs=_hidden(use.inputs, use.input_axis, weights),
        cotangents=_hidden(cotangents, use.output_axis, weights).astype(use.cotangents.dtype),
    )


def _hidden(values: Array, axis: int, weights: Float[Array, " batch"]) -> Array:
    """Zeros where the weight is 0, whatever was there."""
    zero = jnp.zeros((), values.dtype)
    return jnp.where(_along(axis, weights, values) == 0, zero, values)


def _along(axis: int, weights: Float[Array, " batch"], values: Array) -> Array:
    return jnp.expand_dims(weights, [other for other in range(values.ndim) if other != axis])


def _squares(values: Array, axis: int) -> Float[Array, " batch"]:
    """The sum of each example's squares, without a transposition if its axis is the last."""
    if axis == 0:
        return _row_sums(jnp.square(widened(values)))
    columns = jnp.moveaxis(widened(values), axis, -1).reshape(-1, values.shape[axis])
    ones = jnp.ones(columns.shape[0], columns.dtype)
    return jnp.matmul(ones, jnp.square(columns), precision="highest")


def _joined(uses: Uses) -> One:
    """Inputs and cotangents ``(batch, positions, features)``, those of all uses in a row."""
    sides = zip(*map(_one, uses), strict=True)
    return One(*(jnp.concatenate([_positions(of) for of in side], axis=1) for side in sides))


def _positions(ones: Float[Array, "batch ..."]) -> Float[Array, "batch positions features"]:
    return ones.reshape(ones.shape[0], -1, ones.shape[-1])


def _row_sums(values: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    rows = values.reshape(values.shape[0], -1)
    return jnp.matmul(rows, jnp.ones(rows.shape[1], rows.dtype), precision="highest")


def _sum_trees(trees: Sequence[PyTree]) -> PyTree:
    return functools.reduce(functools.partial(jax.tree.map, jnp.add), trees)
