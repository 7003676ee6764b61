"""Models, one file per family."""

from jaxdl.models.lenet import lenet, lenet_feature_maps
from jaxdl.models.mlp import mlp
from jaxdl.models.recurrent import (
    hidden_units,
    language_model,
    logits_at_each_step,
    reader,
    sequence_classifier,
)
from jaxdl.models.small_cnn import small_cnn

__all__ = [
    "hidden_units",
    "language_model",
    "lenet",
    "lenet_feature_maps",
    "logits_at_each_step",
    "mlp",
    "reader",
    "sequence_classifier",
    "small_cnn",
]
