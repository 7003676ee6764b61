"""Models, one file per family."""

from jaxdl.models.deep_mlp import deep_mlp
from jaxdl.models.gan import conditional_dcgan, dcgan
from jaxdl.models.lenet import lenet, lenet_feature_maps
from jaxdl.models.linear import linear, linear_weights
from jaxdl.models.mlp import mlp
from jaxdl.models.recurrent import (
    hidden_units,
    language_model,
    logits_at_each_step,
    reader,
    sequence_classifier,
)
from jaxdl.models.small_cnn import small_cnn
from jaxdl.models.super_resolution import super_resolution, super_resolution_pair
from jaxdl.models.text import (
    PADDING,
    embedding_average,
    mark_padding,
    recurrent_text_classifier,
)

__all__ = [
    "PADDING",
    "conditional_dcgan",
    "dcgan",
    "deep_mlp",
    "embedding_average",
    "hidden_units",
    "language_model",
    "lenet",
    "lenet_feature_maps",
    "linear",
    "linear_weights",
    "logits_at_each_step",
    "mark_padding",
    "mlp",
    "reader",
    "recurrent_text_classifier",
    "sequence_classifier",
    "small_cnn",
    "super_resolution",
    "super_resolution_pair",
]
