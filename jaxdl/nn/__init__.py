"""Layers: those that Flax lacks, or that are faster here; and any Flax module as a `Model`."""

from jaxdl.nn.convolution import CPU_LAYOUT, change_layout, convolve
from jaxdl.nn.dropout import dropout
from jaxdl.nn.flax_model import flax_model
from jaxdl.nn.initializers import INITIALIZERS, initializer
from jaxdl.nn.layers import Conv, DenseOfImages
from jaxdl.nn.pooling import max_pool

__all__ = [
    "CPU_LAYOUT",
    "INITIALIZERS",
    "Conv",
    "DenseOfImages",
    "change_layout",
    "convolve",
    "dropout",
    "flax_model",
    "initializer",
    "max_pool",
]
