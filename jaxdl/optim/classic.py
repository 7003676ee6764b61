"""The classic optimizers by the names under which papers compare them."""

from collections.abc import Mapping

from jaxdl.optim.config import OptimizerConfig

CLASSIC: Mapping[str, OptimizerConfig] = {
    "GD": OptimizerConfig("sgd", 0.1),
    "momentum": OptimizerConfig("sgd", 0.01, {"momentum": 0.9}),
    "Nesterov": OptimizerConfig("sgd", 0.01, {"momentum": 0.9, "nesterov": True}),
    "AdaGrad": OptimizerConfig("adagrad", 0.01),
    "RMSProp": OptimizerConfig("rmsprop", 1e-3),
    "Adadelta": OptimizerConfig("adadelta", 1.0),
    "Adam": OptimizerConfig("adam", 1e-3),
    "AdamW": OptimizerConfig("adamw", 1e-3),
    "Nadam": OptimizerConfig("nadam", 1e-3),
    "AMSGrad": OptimizerConfig("amsgrad", 1e-3),
    "Lion": OptimizerConfig("lion", 1e-4, {"weight_decay": 0.0}),
}
"""The rate is the one that each is commonly begun with, and that of momentum is a tenth of gradient
descent's, since at 0.9 it moves ten times as far. Lion is without the decay that Optax gives it;
other numbers are as Optax has them, Adadelta's as Keras has (`OptimizerConfig`)."""

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "descent and momentum": ("GD", "momentum", "Nesterov"),
    "a scale for each parameter": ("AdaGrad", "RMSProp", "Adadelta"),
    "Adam and its variants": ("Adam", "AdamW", "Nadam", "AMSGrad"),
    "signs": ("Lion",),
}
"""Every optimizer of `CLASSIC` in one family: what they have in common."""
