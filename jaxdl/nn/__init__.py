"""Layers: those that Flax lacks, or that are faster here; and any Flax module as a `Model`."""

from jaxdl.nn.activations import ACTIVATIONS, activation
from jaxdl.nn.batch_norm import batch_norm
from jaxdl.nn.cells import CELLS, Cell, State, find_cell
from jaxdl.nn.choice import one_of
from jaxdl.nn.convolution import CPU_LAYOUT, change_layout, convolve
from jaxdl.nn.dropout import dropout
from jaxdl.nn.flax_cells import from_flax, to_flax
from jaxdl.nn.flax_model import flax_model
from jaxdl.nn.initializers import INITIALIZERS, initializer
from jaxdl.nn.layers import Conv, ConvTranspose, DenseOfImages
from jaxdl.nn.normalization import (
    Moments,
    ScaleAndShift,
    batch_norm_in_evaluation,
    batch_norm_in_training,
    batch_renorm,
    group_norm,
    init_moments,
    init_scale_and_shift,
    instance_norm,
    layer_norm,
    rms_norm,
    standardize,
    weight_norm,
)
from jaxdl.nn.pooling import max_pool
from jaxdl.nn.recurrent import recur
from jaxdl.nn.recurrent_layers import Recurrent, RecurrentLayers
from jaxdl.nn.transposed_convolution import convolve_transposed

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "CPU_LAYOUT",
    "INITIALIZERS",
    "Cell",
    "Conv",
    "ConvTranspose",
    "DenseOfImages",
    "Moments",
    "Recurrent",
    "RecurrentLayers",
    "ScaleAndShift",
    "State",
    "activation",
    "batch_norm",
    "batch_norm_in_evaluation",
    "batch_norm_in_training",
    "batch_renorm",
    "change_layout",
    "convolve",
    "convolve_transposed",
    "dropout",
    "find_cell",
    "flax_model",
    "from_flax",
    "group_norm",
    "init_moments",
    "init_scale_and_shift",
    "initializer",
    "instance_norm",
    "layer_norm",
    "max_pool",
    "one_of",
    "recur",
    "rms_norm",
    "standardize",
    "to_flax",
    "weight_norm",
]
