"""Batch norm over all devices, and a check that a model's state is the same on all of them.

Each device of a mesh applies the model to its share of a batch. What a model keeps between batches
must come out alike on each, and as if one device had seen the whole batch: so all shares are of one
size (`jaxdl.train.fit` sees to it).
"""

import contextlib
from collections.abc import Iterator

import flax.linen as nn
from flax.traverse_util import flatten_dict

from jaxdl.errors import InputError
from jaxdl.parallel import DATA_AXIS, device_count, is_split
from jaxdl.types import MEMORY, ModelState


def batch_norm(use_running_average: bool, **settings) -> nn.BatchNorm:
    """Flax's batch norm, whose statistics in training are those of the batches of all devices.

    Within a module, as ``nn.BatchNorm`` itself would be called.

    Args:
        use_running_average: True to evaluate.
        **settings: more of Flax's attributes, such as ``momentum``.

    >>> import jax
    >>> from jaxdl.nn import flax_model
    >>> class Network(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, inputs, train: bool):
    ...         return batch_norm(not train, momentum=0.9)(nn.Dense(3)(inputs))
    >>> model = flax_model(Network())
    >>> params, model_state = model.init(jax.random.key(0), jax.numpy.ones((2, 5)))
    >>> model_state["batch_stats"]["BatchNorm_0"]["mean"].shape
    (3,)
    """
    axis_name = DATA_AXIS if is_split() else None
    return nn.BatchNorm(use_running_average, axis_name=axis_name, **settings)


@contextlib.contextmanager
def state_of_all_devices(model_state: ModelState) -> Iterator[None]:
    """Within it a Flax model trains on a share of a batch; without a mesh it does nothing.

    Known to keep the same on all devices are `batch_norm`, and ``nn.SpectralNorm``, whose state is
    of the parameters alone. `jaxdl.types.MEMORY` is of the examples.

    Raises:
        InputError: what the model keeps is of one device's share, or may be, for all that is known;
            or it draws for the whole batch at once.
    """
    if device_count() == 1:
        yield
        return
    known = set()

    def watch(call, args, kwargs, context):
        module = context.module
        if isinstance(module, nn.Dropout):
            raise InputError(
                "Flax's dropout beside batch norm draws for a whole batch: take jaxdl.nn.dropout, "
                "which draws for each example, or no mesh"
            )
        if isinstance(module, nn.BatchNorm) and module.axis_name == DATA_AXIS:
            known.add(module.path)
        if isinstance(module, nn.SpectralNorm):
            known.add(module.path)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        yield
    for collection, *path in flatten_dict(model_state):
        if collection != MEMORY and not any(tuple(path[: len(of)]) == of for of in known):
            raise InputError(
                f"what each batch moves in {'.'.join(path)} is of one device's examples: take "
                "jaxdl.nn.batch_norm, a group or layer norm, or no mesh"
            )
