"""Weights of the cells of `jaxdl.nn.cells` as parameters of Flax Linen's cells, and back.

Flax keeps a dense layer for each gate: ``i`` and the gate's letter for the inputs, ``h`` and the
letter for the state. So these are the same numbers, cut into gates or joined:

========  ================================  ================  ================  =================
cell      Flax's                            letters           ``b`` is in       ``d`` is in
========  ================================  ================  ================  =================
``rnn``   ``SimpleCell``, not residual      none              ``i``
``lstm``  ``OptimizedLSTMCell, LSTMCell``   i, f, g, o        ``hi`` to ``ho``
``gru``   ``GRUCell``                       r, z, n           ``ir`` to ``in``  ``hn``
========  ================================  ================  ================  =================

The other cells have no counterpart. A carry of Flax's LSTM is ``(c, h)``, of the others ``h``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, PyTree

from jaxdl.errors import InputError
from jaxdl.nn.cells import Weights, find_cell

Shapes = dict[str, tuple[int, ...]]


class _Form(NamedTuple):
    """The names in Flax.

    Attributes:
        gates: their letters, in our order.
        biased: the layer of each gate that has ``b``.
    """

    gates: tuple[str, ...]
    biased: str


_FORMS = {
    "rnn": _Form(("",), "i"),
    "lstm": _Form(("i", "f", "g", "o"), "h"),
    "gru": _Form(("r", "z", "n"), "i"),
}
_RECURRENT_BIAS = "hn/bias"


def to_flax(cell: str, weights: Weights) -> dict[str, dict[str, Array]]:
    """The parameters of Flax's cell, from our weights.

    Args:
        cell: by name, ``"rnn"``, ``"lstm"`` or ``"gru"``.
        weights: of the cell without layer normalization, as `jaxdl.nn.Cell.init` draws them.

    Raises:
        InputError: Flax has no such cell, or the weights are not those of one.

    >>> import jax
    >>> weights = find_cell("gru").init(jax.random.key(0), 3, 5)
    >>> to_flax("gru", weights)["ir"]["kernel"].shape
    (3, 5)
    """
    form = _find_form(cell)
    sizes = _rows(weights, "kernel"), _rows(weights, "recurrent_kernel")
    _check(f"weights of {cell!r}", weights, _our_shapes(cell, *sizes))
    params = {}
    for name, paths in _paths(form).items():
        blocks = jnp.split(weights[name], len(paths), axis=-1)
        params |= dict(zip(paths, blocks, strict=True))
    if "recurrent_bias" in weights:
        params[_RECURRENT_BIAS] = weights["recurrent_bias"]
    return unflatten_dict(params, sep="/")


def from_flax(cell: str, params: PyTree[Array]) -> Weights:
    """Our weights, from the parameters of Flax's cell: the inverse of `to_flax`.

    Args:
        cell: by name, ``"rnn"``, ``"lstm"`` or ``"gru"``.
        params: of the cell itself; where it is part of a `flax.linen.RNN`, those at ``"cell"``.

    Raises:
        InputError: Flax has no such cell, or the parameters are not those of one.

    >>> import jax
    >>> weights = find_cell("gru").init(jax.random.key(0), 3, 5)
    >>> sorted(from_flax("gru", to_flax("gru", weights)))
    ['bias', 'kernel', 'recurrent_bias', 'recurrent_kernel']
    """
    form = _find_form(cell)
    given: Any = flatten_dict(params, sep="/")
    paths = _paths(form)
    sizes = _rows(given, paths["kernel"][0]), _rows(given, paths["recurrent_kernel"][0])
    _check(f"Flax's parameters of {cell!r}", given, _flax_shapes(cell, *sizes))
    weights = {
        name: jnp.concatenate([given[path] for path in of], axis=-1) for name, of in paths.items()
    }
    if find_cell(cell).has_recurrent_bias:
        weights["recurrent_bias"] = given[_RECURRENT_BIAS]
    return weights


def _find_form(cell: str) -> _Form:
    find_cell(cell)
    if cell not in _FORMS:
        raise InputError(f"Flax has no cell like {cell!r}; it has {', '.join(_FORMS)}")
    return _FORMS[cell]


def _paths(form: _Form) -> dict[str, list[str]]:
    """Where the blocks of each of our weights are, gate by gate."""
    return {
        "kernel": [f"i{gate}/kernel" for gate in form.gates],
        "recurrent_kernel": [f"h{gate}/kernel" for gate in form.gates],
        "bias": [f"{form.biased}{gate}/bias" for gate in form.gates],
    }


def _our_shapes(cell: str, inputs: int, units: int) -> Shapes:
    columns = find_cell(cell).gates * units
    shapes = {"kernel": (inputs, columns), "recurrent_kernel": (units, columns), "bias": (columns,)}
    return shapes | ({"recurrent_bias": (units,)} if find_cell(cell).has_recurrent_bias else {})


def _flax_shapes(cell: str, inputs: int, units: int) -> Shapes:
    blocks = {"kernel": (inputs, units), "recurrent_kernel": (units, units), "bias": (units,)}
    paths = _paths(_FORMS[cell])
    shapes = {path: shape for name, shape in blocks.items() for path in paths[name]}
    return shapes | ({_RECURRENT_BIAS: (units,)} if find_cell(cell).has_recurrent_bias else {})


def _rows(arrays: Mapping[str, Array], name: str) -> int:
    """0 where there are none, which fits nothing."""
    return (*jnp.shape(arrays.get(name, 0.0)), 0)[0]


def _check(what: str, arrays: Mapping[str, Array], shapes: Shapes) -> None:
    if set(arrays) != set(shapes):
        names, given = (", ".join(sorted(of)) for of in (shapes, arrays))
        raise InputError(f"{what} are {names}; given are {given or 'none'}")
    given = {name: jnp.shape(arrays[name]) for name in shapes}
    if given != shapes:
        told = ", ".join(f"{name} {shape}" for name, shape in given.items())
        raise InputError(f"{what} have shapes that do not fit each other: {told}")
