"""Initializers of kernels under the names by which the field knows them. Biases start at zero.

They are JAX's own. ``fan_in`` of a dense kernel ``(inputs, outputs)`` is ``inputs``, that of a
convolution ``(height, width, channels, features)`` is ``height * width * channels``, and likewise
``fan_out`` with the last axis.

=================  ==============================================================  ================
name               distribution                                                    default in
=================  ==============================================================  ================
glorot_uniform     U(-a, a), a = sqrt(6 / (fan_in + fan_out))                      Keras
glorot_normal      variance 2 / (fan_in + fan_out)
he_uniform         U(-a, a), a = sqrt(6 / fan_in)
he_normal          variance 2 / fan_in
lecun_uniform      U(-a, a), a = sqrt(3 / fan_in)
lecun_normal       variance 1 / fan_in                                             Flax
pytorch_uniform    U(-a, a), a = 1 / sqrt(fan_in)                                  PyTorch
orthogonal         uniform among matrices with orthogonal rows or columns          recurrent Keras
normal             standard deviation 0.02                                         DCGAN
zeros, ones        constant
=================  ==============================================================  ================

As in Keras, glorot_normal, he_normal and lecun_normal are normal distributions cut off at two
standard deviations and widened to the variance given here; PyTorch does not cut its own off.
PyTorch writes its default as ``kaiming_uniform_(a=sqrt(5))``, which is the same.
"""

from jax.nn import initializers
from jax.nn.initializers import Initializer

from jaxdl.errors import InputError, near_names

INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": initializers.glorot_uniform(),
    "glorot_normal": initializers.glorot_normal(),
    "he_uniform": initializers.he_uniform(),
    "he_normal": initializers.he_normal(),
    "lecun_uniform": initializers.lecun_uniform(),
    "lecun_normal": initializers.lecun_normal(),
    "pytorch_uniform": initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
    "orthogonal": initializers.orthogonal(),
    "normal": initializers.normal(0.02),
    "zeros": initializers.zeros,
    "ones": initializers.ones,
}


def initializer(name: str) -> Initializer:
    """The initializer of this name, ``(key, shape, dtype) -> Array``; the same object each time.

    Raises:
        InputError: there is none.

    >>> import jax
    >>> initializer("glorot_uniform")(jax.random.key(0), (5880, 84)).shape
    (5880, 84)
    """
    if name not in INITIALIZERS:
        raise InputError(f"no initializer {name!r}; {near_names(name, INITIALIZERS)}")
    return INITIALIZERS[name]
