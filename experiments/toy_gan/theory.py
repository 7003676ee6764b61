"""The minimax game where it can be worked out: the best discriminator, its value, the gradients.

Against a fixed generator with density q the best discriminator of data with density p is
``p / (p + q)``, and the value of the game is then ``-log 4 + 2 JSD(p, q)`` (Goodfellow et al. 2014,
arXiv:1406.2661, proposition 1 and theorem 1); both are compared with a perceptron that has learned
from samples alone. And the better it is, the less a generator learns from the minimax form (section
3 there; Arjovsky and Bottou 2017, arXiv:1701.04862, theorem 2.4).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from experiments.toy_gan.mixtures import draw, ring
from experiments.toy_gan.training import LATENT, batch_of
from jaxdl import models, optim
from jaxdl.adversarial import init_game, make_adversarial_update, make_game
from jaxdl.claims import Claim
from jaxdl.objectives import choose_objective, make_objective
from jaxdl.sweep import sweep
from jaxdl.types import Model, Players, Static, TrainState, Variables

MEANS, DEVIATION = (-1.5, 1.5), 0.6
"""Of the data's two Gaussians."""
MEAN_OF_GENERATED, DEVIATION_OF_GENERATED = 0.5, 1.2
GRID = np.linspace(-6, 6, 601)
SEEN_SHARE = 0.02
"""Where p + q is below this share of its maximum, hardly a sample falls: no optimum is asked."""
SEEDS = 3
"""Discriminators of each kind; what is claimed is claimed of the worst."""
DISCRIMINATOR_STEPS, STEPS_WHERE_EXACT = 3000, 500
DISCRIMINATOR_BATCH = 1024
DISCRIMINATOR_RATE = 1e-2
"""At first; it falls to 0 in a straight line. The tails are learned by high rates alone."""
DISCRIMINATOR_AVERAGE = 0.99
CLOSE, CLOSE_OF_VALUE = 0.02, 0.002
"""Of a probability, and of the value, on which an error of the probability tells but squared."""
GRADIENT_WIDTHS = (128, 128)
GRADIENT_BATCH = 128
GRADIENT_STEPS = 1000
AT_THE_END = 50
"""Steps whose median norm is taken: single steps still spike."""
SHOWN_STEPS = (10, 100, 400)
VANISHED, LEFT = 0.01, 0.1
"""Of the non-saturating form's gradient, and of what it was itself at first."""


class Optimum(NamedTuple):
    """A discriminator that has learned against a fixed generator.

    Attributes:
        probability: its, on `GRID`.
        best: ``p / (p + q)`` there.
        seen: where samples fall.
        share: of them that fall there, of both kinds together.
        value: of the game with it, by quadrature.
        best_value: ``-log 4 + 2 JSD``.
    """

    probability: np.ndarray
    best: np.ndarray
    seen: np.ndarray
    share: float
    value: float
    best_value: float

    @property
    def off(self) -> float:
        """By how much the probability is off at most, where samples fall."""
        return float(np.abs(self.probability - self.best)[self.seen].max())


class Theory(NamedTuple):
    """What was measured, from each of several seeds.

    Attributes:
        optima: against a generator that is off.
        exact: against one that makes the data.
        norms: of the generator's gradient at each step of the discriminator, by objective,
            ``(seeds, steps)``.
    """

    optima: list[Optimum]
    exact: list[Optimum]
    norms: dict[str, np.ndarray]


def measure(seed: int, mesh: Mesh) -> Theory:
    """Trains the discriminators.

    Args:
        seed: of all draws.
        mesh: devices, for all games at once.
    """
    best_key, norms_key = jax.random.split(jax.random.key(seed))
    best_keys, norms_keys = jax.random.split(best_key, SEEDS), jax.random.split(norms_key, SEEDS)
    scores, exact = (
        sweep(Partial(learned_scores, Static(steps)), best_keys, jnp.array([is_exact]), mesh=mesh)
        for steps, is_exact in ((DISCRIMINATOR_STEPS, False), (STEPS_WHERE_EXACT, True))
    )
    norms = sweep(gradient_norms, norms_keys, jnp.arange(len(FORMS)), mesh=mesh)
    off = normal_density(MEAN_OF_GENERATED, DEVIATION_OF_GENERATED)
    return Theory(
        [optimum_of(of_seed, off) for of_seed in scores[0]],
        [optimum_of(of_seed, density_of_data()) for of_seed in exact[0]],
        {form: norms[place] for place, form in enumerate(FORMS)},
    )


# --- the best discriminator ----------------------------------------------------------------------


def density_of_data() -> Float[np.ndarray, " points"]:
    """On `GRID`."""
    return np.mean([normal_density(mean, DEVIATION) for mean in MEANS], axis=0)


def normal_density(mean: float, deviation: float) -> Float[np.ndarray, " points"]:
    """Of a Gaussian, on `GRID`."""
    return np.exp(-(((GRID - mean) / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))


def optimum_of(
    scores: Float[np.ndarray, " points"], generated: Float[np.ndarray, " points"]
) -> Optimum:
    """A discriminator beside the best one.

    Args:
        scores: its, on `GRID`.
        generated: the density of the samples that it has learned from, there.
    """
    scores = scores.astype(float)
    probability = 1 / (1 + np.exp(-scores))
    data = density_of_data()
    total = data + generated
    value = integral(-data * np.logaddexp(0, -scores) - generated * np.logaddexp(0, scores))
    best_value = -np.log(4) + jensen_shannon(data, generated) * 2
    seen = total > SEEN_SHARE * total.max()
    share = integral(np.where(seen, total, 0)) / integral(total)
    return Optimum(probability, data / total, seen, share, value, best_value)


def learned_scores(
    steps: Static[int], key: Key[Array, ""], is_exact: Bool[Array, ""]
) -> Float[Array, " points"]:
    """Those on `GRID` of a discriminator that has learned from samples.

    Args:
        steps: of it.
        key: of the draws.
        is_exact: whether the generator makes the data.
    """
    generator = Model(Partial(_no_variables), Partial(_apply_fixed, is_exact))
    discriminator = models.mlp([64, 64], classes=1, activation="silu")
    game = make_game(generator, discriminator, make_objective("minimax"), latent=2)
    falling = optax.linear_schedule(DISCRIMINATOR_RATE, 0, steps.value)
    averaged = optax.chain(
        optax.adam(falling, b2=0.99), optim.average_parameters(DISCRIMINATOR_AVERAGE)
    )
    optimizers = Players(optax.set_to_zero(), averaged)
    update = make_adversarial_update(game, optimizers)

    def step(state: TrainState, key: Key[Array, ""]):
        drawn = jax.random.normal(key, (DISCRIMINATOR_BATCH, 2))
        return update(state, batch_of(_of_data(drawn)))[0], None

    run_key, batches_key = jax.random.split(key)
    state = init_game(run_key, game, optimizers, jnp.zeros((1, 1)))
    state, _ = lax.scan(step, state, jax.random.split(batches_key, steps.value))
    grid = jnp.asarray(GRID, jnp.float32)[:, None]
    params = optim.averaged_params(state.opt_state, state.params)
    return discriminator.apply(params.discriminator, {}, grid, None)[0][:, 0]


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """The divergence of two densities on `GRID`, in nats."""
    middle = (p + q) / 2
    return integral(p * np.log(p / middle) + q * np.log(q / middle)) / 2


def integral(values: np.ndarray) -> float:
    """Over `GRID`, by the trapezoidal rule."""
    return float(np.trapezoid(values, GRID))


def _of_data(drawn: Float[Array, "batch 2"]) -> Float[Array, "batch 1"]:
    means = jnp.where(drawn[:, 1:] < 0, *MEANS)
    return means + DEVIATION * drawn[:, :1]


def _no_variables(key: Key[Array, ""], inputs: Array) -> Variables:
    return Variables({}, {})


def _apply_fixed(is_exact: Bool[Array, ""], params, model_state, drawn: Array, keys):
    off = MEAN_OF_GENERATED + DEVIATION_OF_GENERATED * drawn[:, :1]
    return jnp.where(is_exact, _of_data(drawn), off), model_state


# --- the gradient of the generator ---------------------------------------------------------------

FORMS = ("minimax", "non_saturating")


def gradient_norms(key: Key[Array, ""], form: Int[Array, ""]) -> Float[Array, " steps"]:
    """The norm of a fixed generator's gradient, while a discriminator learns to tell its samples.

    Both forms have the same loss of the discriminator, and so, with a key, the same one.

    Args:
        key: of the draws.
        form: its number among `FORMS`.
    """
    players = models.mlp(GRADIENT_WIDTHS, classes=2), models.mlp(GRADIENT_WIDTHS, classes=1)
    objective = choose_objective(form, [make_objective(name) for name in FORMS])
    game = make_game(*players, objective, latent=LATENT)
    optimizers = Players(optax.set_to_zero(), optax.adam(1e-3))
    update = make_adversarial_update(game, optimizers)
    mixture = ring()

    def step(state: TrainState, key: Key[Array, ""]):
        state, metrics = update(state, batch_of(draw(mixture, key, GRADIENT_BATCH)))
        return state, metrics["generator_gradient_norm"]

    run_key, batches_key = jax.random.split(key)
    state = init_game(run_key, game, optimizers, jnp.zeros((1, 2)))
    return lax.scan(step, state, jax.random.split(batches_key, GRADIENT_STEPS))[1]


# --- what is claimed -----------------------------------------------------------------------------


def claims(theory: Theory) -> list[Claim]:
    """Those of the theory."""
    return [optimum_claim(theory.optima), value_claim(theory), gradient_claim(theory.norms)]


def optimum_claim(optima: list[Optimum]) -> Claim:
    """The best discriminator."""
    off = [optimum.off for optimum in optima]
    return Claim(
        "against a fixed generator the discriminator learns p / (p + q)",
        max(off) < CLOSE,
        f"off by {', '.join(f'{of:.3f}' for of in off)} at most where {optima[0].share:.1%} of the "
        f"samples fall, each expected below {CLOSE}",
    )


def value_claim(theory: Theory) -> Claim:
    """The value of the game; that of an untrained discriminator is near -log 4 too."""
    worst, exact = (
        max(of, key=lambda one: abs(one.value - one.best_value))
        for of in (theory.optima, theory.exact)
    )
    off = max(one.off for one in theory.exact)
    is_close = all(abs(of.value - of.best_value) < CLOSE_OF_VALUE for of in (worst, exact))
    return Claim(
        "the value of the game is then -log 4 + 2 JSD, and -log 4 where the generator is exact and "
        "the discriminator gives 1/2",
        is_close and off < CLOSE,
        f"at worst {worst.value:.4f} beside {worst.best_value:.4f} by quadrature; "
        f"{exact.value:.4f} beside {exact.best_value:.4f}, expected within {CLOSE_OF_VALUE}; off "
        f"1/2 by {off:.4f} at most, expected below {CLOSE}",
    )


def gradient_claim(norms: dict[str, np.ndarray]) -> Claim:
    """What the generator gets to see."""
    starts = [norms[form][:, 0] for form in FORMS]
    ends = [np.median(norms[form][:, -AT_THE_END:], axis=1) for form in FORMS]
    way = "; ".join(f"{written(norms[FORMS[0]][:, n])} after {n}" for n in SHOWN_STEPS)
    has_risen = norms[FORMS[0]][:, SHOWN_STEPS[0]] > starts[0]
    has_vanished = (ends[0] < VANISHED * ends[1]) & (ends[0] < LEFT * starts[0])
    return Claim(
        "as the discriminator gets better the minimax form's gradient rises at first and then "
        "vanishes, and the non-saturating form's grows",
        bool((has_risen & has_vanished & (ends[1] > starts[1])).all()),
        f"norms of the minimax form {written(starts[0])} at first; {way}; {written(ends[0])} after "
        f"{GRADIENT_STEPS} steps of the discriminator (medians of {AT_THE_END}), from "
        f"{written(starts[1])} to {written(ends[1])} of the other; expected below {LEFT:g} of its "
        f"start and {VANISHED:.0%} of the other",
    )


def written(values: np.ndarray) -> str:
    """A number of each seed, in words."""
    return " ".join(f"{value:.2g}" for value in values)
