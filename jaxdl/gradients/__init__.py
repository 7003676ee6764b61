"""Gradient functions: what `jaxdl.train.make_update` hands to an optimizer.

`mean_gradient`, `observed_gradient`, `clipped_gradient` and `layer_clipped_gradient` each take a
`LossFn` and give a `GradientFn`: they can stand in each other's place. `per_example_gradients`,
`per_example_norms` and `per_example_layer_norms` show the gradient of every example of a batch.

Norms come from one ordinary backward pass (`jaxdl.nn.example_gradients`) for those layers of a
`jaxdl.nn.flax_model` that are Flax's or jaxdl's own, and for all other parameters, with a
`FallbackWarning`, from one backward pass for each example. Randomness belongs to the example, so
all of them draw the same numbers. A loss function must leave the examples in their places.

Edge cases, the same for one norm and for a norm of each layer:

=============================  ============================  =====================================
case                           norm                          clipped gradient
=============================  ============================  =====================================
gradient 0                     0                             0
clip norm 0                    as it is                      0
clip norm infinite             as it is                      the mean gradient
batch of one                   as it is                      that example's, clipped
weight 0 (padding)             0                             does not count
weight w                       of the example by itself      w times the clipped one, in the mean
w below 1e-15 of all weights   not finite                    the example counts as 0
NaN or infinity in an example  not finite, of this one only  the example counts as 0; the metric
                                                             ``unclippable_examples`` tells
=============================  ============================  =====================================
"""

from jaxdl.gradients.clipped import clipped_gradient, layer_clipped_gradient
from jaxdl.gradients.examples import (
    per_example_gradients,
    per_example_layer_norms,
    per_example_norms,
)
from jaxdl.gradients.mean import masked_dot, mean_gradient, weighted_mean
from jaxdl.gradients.observed import observed_gradient
from jaxdl.gradients.seen import FallbackWarning

__all__ = [
    "FallbackWarning",
    "clipped_gradient",
    "layer_clipped_gradient",
    "masked_dot",
    "mean_gradient",
    "observed_gradient",
    "per_example_gradients",
    "per_example_layer_norms",
    "per_example_norms",
    "weighted_mean",
]
