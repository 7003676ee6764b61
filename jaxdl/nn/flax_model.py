"""Any Flax Linen module as a `jaxdl.types.Model`."""

import inspect
from functools import partial

import flax.linen as nn
import jax
from jax.tree_util import Partial
from jaxtyping import Array, Key, PyTree

from jaxdl.errors import InputError, near_names
from jaxdl.nn.batch_norm import state_of_all_devices
from jaxdl.nn.taps import TAPS, Taps, call_tapped
from jaxdl.types import Keys, Model, ModelState, Params, Static, Variables

WHILE_TRAINING = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}
"""What flags of a module's ``__call__`` are while it trains; in an evaluation the opposite."""


def flax_model(module: nn.Module, **numbers: PyTree) -> Model:
    """Wraps a Flax Linen module, called on a batch of inputs, as a pure `Model`.

    What else ``__call__`` is given depends on the names of its arguments:

    - none: it is called in the same way in training and evaluation, and draws nothing.
    - ``keys``: one key per example, or None to evaluate, as our own layers take them
      (`jaxdl.nn.dropout`).
    - a flag of `WHILE_TRAINING`, as Flax's own examples have it. While training there is also the
      random stream ``"dropout"``, for `flax.linen.Dropout`. So that draws belong to the example,
      the module is then applied to each example with its own key, under `jax.vmap`; a module with
      batch statistics is applied to the whole batch with the first example's key.

    Collections other than parameters (``batch_stats``) are the model state, which training moves;
    on a mesh it takes `jaxdl.nn.batch_norm`.

    Args:
        module: hashable: its attributes are numbers, strings, tuples, functions or modules.
        **numbers: more arguments of ``__call__``, by name, such as a dropout rate: leaves of the
            model, so that changing one recompiles nothing.

    Returns:
        The model. Two of equal modules are the same to `jax.jit`: nothing is compiled twice.

    Raises:
        InputError: the module is not hashable, or ``__call__`` has no argument of such a name.

    >>> class Classifier(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, inputs, train: bool):
    ...         hidden = nn.relu(nn.Dense(128)(inputs))
    ...         return nn.Dense(10)(nn.Dropout(0.5, deterministic=not train)(hidden))
    >>> model = flax_model(Classifier())
    >>> params, model_state = model.init(jax.random.key(0), jax.numpy.ones((1, 784)))
    >>> outputs, _ = model.apply(params, model_state, jax.numpy.ones((2, 784)), None)
    """
    try:
        hash(module)
    except TypeError as error:
        raise InputError(
            f"{type(module).__name__} cannot be hashed ({error}): make its attributes tuples, "
            "not lists or arrays"
        ) from None
    for name in set(numbers) - set(_arguments(module)):
        raise InputError(
            f"{type(module).__name__}.__call__ has no argument {name!r}; "
            f"{near_names(name, _arguments(module))}"
        )
    static = Static(module)
    return Model(Partial(_init, static, **numbers), Partial(_apply, static, **numbers))


@jax.jit
def _init(static: Static[nn.Module], key: Key[Array, ""], inputs: PyTree, **numbers) -> Variables:
    options = _options(static.value, None)
    variables = dict(static.value.init(key, inputs, **options, **numbers))
    return Variables(variables.pop("params", {}), variables)


def _apply(
    static: Static[nn.Module],
    params: Params,
    model_state: ModelState,
    inputs: PyTree,
    keys: Keys,
    **numbers,
) -> tuple[PyTree, ModelState]:
    if TAPS in model_state:
        return _apply_tapped(static, params, model_state[TAPS], inputs, keys, **numbers)
    module, options = static.value, _options(static.value, keys)
    variables = {"params": params, **model_state}

    def call(inputs: PyTree, **how):
        return module.apply(variables, inputs, **options, **numbers, **how)

    def call_one(example: Array, key: Key[Array, ""]) -> PyTree:
        outputs = call(example[None], rngs={"dropout": key})
        return jax.tree.map(lambda leaf: leaf[0], outputs)

    if keys is None:
        return call(inputs), model_state
    if model_state:
        with state_of_all_devices(model_state):
            return call(inputs, rngs={"dropout": keys[0]}, mutable=list(model_state))
    if options and "keys" not in options:
        return jax.vmap(call_one)(inputs, keys), model_state
    return call(inputs), model_state


def _apply_tapped(
    static: Static[nn.Module], params: Params, taps: Taps, inputs: PyTree, keys: Keys, **numbers
) -> tuple[PyTree, ModelState]:
    """The same for a model without state, its layers tapped (`jaxdl.nn.taps`).

    A foreign module runs on one example at a time, lest it confound the axis of examples.
    """
    module, options = static.value, _options(static.value, keys)
    offsets, paths, *_ = taps.to_come()

    def call(inputs: PyTree, offsets: tuple[Array, ...], key: Key[Array, ""] | None, **how):
        rngs = {} if key is None else {"rngs": {"dropout": key}}
        model = partial(module.apply, {"params": params}, inputs, **options, **numbers, **rngs)
        return call_tapped(model, Taps(offsets, paths), **how)

    def call_one(example: Array, offsets: tuple[Array, ...], key: Key[Array, ""] | None):
        outputs, uses = call(example[None], offsets, key, is_mapped=True)
        return jax.tree.map(lambda leaf: leaf[0], outputs), uses

    if "keys" in options:
        outputs, uses = call(inputs, offsets, None, is_mapped=False)
    else:
        outputs, uses = jax.vmap(call_one)(inputs, offsets, keys)
    return outputs, {TAPS: taps.after(uses)}


def _options(module: nn.Module, keys: Keys) -> dict:
    """The flags and keys that this module's ``__call__`` takes."""
    trains = keys is not None
    flags = {name: value == trains for name, value in WHILE_TRAINING.items()}
    known = {**flags, "keys": keys}
    return {name: known[name] for name in _arguments(module) if name in known}


def _arguments(module: nn.Module) -> list[str]:
    return list(inspect.signature(module.__call__).parameters)
