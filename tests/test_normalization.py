"""Each part against loops and solvers of others, and the claims on wrong numbers."""

import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from command_line import assert_refused, start
from sklearn.linear_model import LogisticRegression

from experiments import normalization as experiment
from experiments.normalization import batches, equations, network, rates, shift, sigmoids
from experiments.normalization.batches import Batches, Found
from experiments.normalization.equations import Scaled
from experiments.normalization.network import Kind
from experiments.normalization.rates import Rates
from experiments.normalization.shift import Shift
from jaxdl import models, nn
from jaxdl.models.deep_mlp import DeepParams, Layer
from jaxdl.nn import Moments
from jaxdl.types import Examples, Static

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 11
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"sigmoids", "batches", "rates", "shift"}


BAD = [
    ("--norms none batch layr", "layr", "choose from none"),
    ("--norms none batch", "--norms none batch", "give layer as well"),
    ("--rates 0.1 0.1", "--rates 0.1 0.1", "larger than"),
    ("--rates 0 0.1", "--rates 0.0", "numbers above 0"),
    ("--sizes 4 100 256", "--sizes 4 100 256", "divisors of 256"),
    ("--sizes 4 8", "--sizes 4 8", "256 itself the last"),
    ("--sizes 1 256", "--sizes 1 256", "2 or more"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- equations -----------------------------------------------------------------------------------


def test_a_norm_of_another_equation_fails(monkeypatch):
    """Batch norm whose averages are of the variance divided by n - 1, as PyTorch has it."""
    right = nn.batch_norm_in_training

    def wrong(values, *arguments, **settings):
        outputs, moved = right(values, *arguments, **settings)
        return outputs, moved._replace(variance=moved.variance * 12 / 11)

    monkeypatch.setattr(nn, "batch_norm_in_training", wrong)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        features = jnp.asarray(rng.uniform(1, 2, size=(4, equations.FEATURES)))
        values = jnp.asarray(rng.normal(size=equations.SHAPES["dense"]))
        learned, running = nn.ScaleAndShift(*features[:2]), Moments(*features[2:])
        pairs = jax.jit(equations.of_values)(values, learned, running)
    off = {what: equations.apart(pair) for what, pair in pairs.items()}
    assert not equations.equations_claim(off).holds
    assert off.pop("running averages") > 1e-3
    assert equations.equations_claim(off).holds


def test_apart():
    assert equations.apart((np.array([4.0, -8.0]), np.array([4.0, -6.0]))) == 0.25


SCALED = {
    "no norm": Scaled(9, 1, 9),
    "batch norm": Scaled(0, 0.1, 0),
    "layer norm": Scaled(0, 0.1, 0.8),
    "RMS norm": Scaled(0, 0.1, 0.8),
    "weight norm": Scaled(0, 0.1, 0),
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"no norm": Scaled(0, 1, 9)},
        {"no norm": Scaled(9, 0.1, 9)},
        {"batch norm": Scaled(1e-9, 0.1, 0)},
        {"weight norm": Scaled(0, 0.11, 0)},
        {"batch norm": Scaled(0, 0.1, 0.8)},
        {"layer norm": Scaled(0, 0.1, 0)},
    ],
    ids=str,
)
def test_scale_claim_can_fail(wrong):
    assert equations.scale_claim(SCALED).holds
    assert not equations.scale_claim(SCALED | wrong).holds


# --- sigmoids ------------------------------------------------------------------------------------


def test_linear_share_is_the_square_of_the_correlation():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=50)
    outputs = np.exp(inputs)
    expected = np.corrcoef(inputs, outputs)[0, 1] ** 2
    assert sigmoids.linear_share(inputs[:, None], outputs) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (4, 0), (1, 2)])
def test_share_of_normal_by_quad(scale, shift):
    def mean(function):
        def weighed(z):
            return function(z, 1 / (1 + np.exp(-scale * z - shift))) * scipy.stats.norm.pdf(z)

        return scipy.integrate.quad(weighed, -12, 12)[0]

    variance = mean(lambda z, y: y**2) - mean(lambda z, y: y) ** 2
    expected = mean(lambda z, y: z * y) ** 2 / variance
    assert sigmoids.share_of_normal(scale, shift) == pytest.approx(expected, rel=1e-6)


def test_problems_are_symmetric():
    (rings, waves), (of_rings, of_waves) = map(np.asarray, sigmoids.make_problems(0))
    half = sigmoids.POINTS // 2
    np.testing.assert_array_equal(rings[half:], -rings[:half])
    np.testing.assert_array_equal(waves[half:], -waves[:half])
    np.testing.assert_array_equal(of_rings[half:], of_rings[:half])
    np.testing.assert_array_equal(of_waves[half:], 1 - of_waves[:half])
    assert of_rings.mean() == of_waves.mean() == 0.5
    radii = np.linalg.norm(rings, axis=1)
    assert radii[of_rings[:, 0] == 0].max() < radii[of_rings[:, 0] == 1].min()


def test_parts_that_are_held():
    """Their values do not matter, and their gradients are 0; those of the others are not."""
    network = models.deep_mlp(1, 4, classes=1, layer=Layer("sigmoid", "batch"))
    inputs = jnp.float32(np.random.default_rng(0).normal(size=(6, 2)))
    params, model_state = network.init(jax.random.key(1), inputs)

    def with_learned(scale, shift):
        learned = nn.ScaleAndShift(jnp.full(4, scale), jnp.full(4, shift))
        return params._replace(first=params.first._replace(learned=learned))

    @jax.jit
    def value_and_slopes(params, scales, shifts):
        def total(params):
            model = sigmoids.with_parts(network, scales, shifts)
            keys = jax.random.split(jax.random.key(2), 6)
            return jnp.sum(jnp.sin(model.apply(params, model_state, inputs, keys)[0]))

        return jax.value_and_grad(total)(params)

    for scales, shifts in sigmoids.PARTS.values():
        value, slopes = value_and_slopes(with_learned(2.0, -1.0), scales, shifts)
        kept = with_learned(2.0 if scales else 1.0, -1.0 if shifts else 0.0)
        assert value == pytest.approx(float(value_and_slopes(kept, 1, 1)[0]), rel=1e-6)
        of_scale, of_shift = (np.abs(of).max() for of in slopes.first.learned)
        assert ((of_scale > 0), (of_shift > 0)) == (scales, shifts)


def test_line_loss_by_scikit_learn():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=40)
    labels = (inputs + rng.normal(size=40) > 0).astype(float)
    fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(inputs[:, None], labels)
    right = fitted.predict_proba(inputs[:, None])[np.arange(40), labels.astype(int)]
    assert sigmoids.line_loss(inputs, labels) == pytest.approx(-np.log(right).mean(), rel=1e-6)


def learned(rings, waves, logits):
    """Of three seeds that are alike; losses in the order of `sigmoids.PARTS`, and logits."""
    loss = np.repeat(np.array([rings, waves])[..., None], 3, axis=2)
    return sigmoids.Learned(loss, np.broadcast_to(logits, (2, *np.shape(logits))))


def test_claims_of_sigmoids_can_fail():
    problems = sigmoids.make_problems(0)
    x, y = (np.asarray(of[1, :, 0], np.float64) for of in problems)
    line = np.broadcast_to(-x, (3, sigmoids.POINTS))
    bent = np.broadcast_to(np.where(y > 0, 3.0, -3.0), (3, sigmoids.POINTS))
    logits, guess = np.stack([line, bent, line, bent]), np.log(2)
    rings, waves = (guess, guess, 0.3, 0.03), (0.6, 0.15, 0.6, 0.15)
    right = learned(rings, waves, logits)
    assert sigmoids.shifts_claim(right).holds
    assert sigmoids.scales_claim(right, problems).holds
    for wrong in ((0.5, guess, 0.3, 0.03), (guess, 0.5, 0.3, 0.03), (guess, guess, 0.3, 0.3)):
        assert not sigmoids.shifts_claim(learned(wrong, waves, logits)).holds
    for wrong in ((0.4, 0.15, 0.6, 0.15), (0.6, 0.15, 0.4, 0.15), (0.6, 0.15, 0.6, 0.5)):
        assert not sigmoids.scales_claim(learned(rings, wrong, logits), problems).holds
    curved = learned(rings, waves, np.stack([line, bent, bent, bent]))
    assert not sigmoids.scales_claim(curved, problems).holds


def test_linear_claim_can_fail():
    assert sigmoids.linear_claim(np.array([0.98, 0.988])).holds
    assert not sigmoids.linear_claim(np.array([0.95, 0.96])).holds


# --- the deep network ----------------------------------------------------------------------------

DEPTH, WIDTH, BATCH, MIDDLE, RATE, STEPS, GROUP = 4, 5, 8, 2, 0.1, 3, 4
RNG = np.random.default_rng(0)
DIGITS = Examples(jnp.float32(RNG.normal(size=(16, 3))), jnp.asarray(RNG.integers(0, 10, 16)))


@pytest.fixture(scope="module")
def trained():
    """A run of few steps of batch norm of groups, noise behind it; its draws and its start."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"DEPTH": DEPTH, "WIDTH": WIDTH, "BATCH": BATCH, "MIDDLE": MIDDLE, "COMPARED": 16}
        for name, size in sizes.items():
            patch.setattr(network, name, size)
        plan, settings = network.arrange([(Kind("batch", GROUP, 0.4), RATE, True)], STEPS)
        setting = jax.tree.map(lambda of: of[0], settings)
        key = jax.random.key(0)
        run = jax.jit(network.train_one)(Static(plan), DIGITS, DIGITS, key, setting)
        draws = network.draw(key, STEPS, len(DIGITS.targets), 0.4)
    model = models.deep_mlp(DEPTH, WIDTH, classes=10, layer=Layer("relu", "batch"))
    return run, draws, model.init(key, DIGITS.inputs[:1]).params


class ByHand(NamedTuple):
    """What goes through the network: inputs of its middle layer, moments of each, mean loss."""

    middle: Any
    moments: Any
    loss: Any


def forward(params: DeepParams, batch, noise, running=None):
    """By the equations, by statistics of groups or by running averages ``(depth, 2, width)``."""
    values, moments, middle = batch.inputs, [], None
    for k in range(DEPTH):
        kernel, bias, learned = jax.tree.map(
            lambda of, k=k: of[k - 1] if k else of, tuple(params.hidden if k else params.first)
        )
        scale, shift = (of + more[k] for of, more in zip(learned, noise, strict=True))
        before = (values @ kernel + bias[None]).reshape(-1, GROUP, WIDTH)
        mean, variance = before.mean(1, keepdims=True), before.var(1, keepdims=True)
        moments.append((mean.mean((0, 1)), variance.mean((0, 1))))
        if running is not None:
            mean, variance = running[k][:, None, None]
        standard = ((before - mean) / jnp.sqrt(variance + 1e-5)).reshape(-1, WIDTH)
        values = jnp.maximum(standard * scale[None] + shift[None], 0)
        middle = values if k == MIDDLE - 1 else middle
    logits = values @ params.last.kernel + params.last.bias[None]
    right = jnp.take_along_axis(logits, batch.targets[:, None], axis=1)[:, 0]
    loss = (jax.nn.logsumexp(logits, axis=1) - right).mean()
    return loss, ByHand(middle, moments, loss)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(float)


def length(tree):
    return np.linalg.norm(flat(tree))


@pytest.mark.slow
def test_a_run_by_a_plain_loop(trained):
    run, draws, params = trained
    look = jax.jit(jax.grad(forward, has_aux=True))
    rows = [Examples(*(of[rows] for of in DIGITS)) for rows in draws.rows]
    path, running = [params], np.tile([[[0.0], [1.0]]], (DEPTH, 1, WIDTH))
    for batch, noise in zip(rows, draws.noise, strict=True):
        slopes, found = look(path[-1], batch, noise)
        running = 0.9 * running + 0.1 * np.array(found.moments)
        path.append(jax.tree.map(lambda w, g: np.asarray(w - RATE * g), path[-1], slopes))

    # At the end, without noise; in training by the statistics of all that are compared.
    silent = np.zeros_like(draws.noise[0])
    _, evaluated = jax.jit(forward)(path[-1], DIGITS, silent, np.float32(running))
    assert run.in_evaluation["loss"] == pytest.approx(float(evaluated.loss), rel=1e-4)
    assert run.test["loss"] == pytest.approx(float(evaluated.loss), rel=1e-4)
    _, of_groups = jax.jit(forward)(path[-1], DIGITS, silent)
    assert run.in_training["loss"] == pytest.approx(float(of_groups.loss), rel=1e-4)

    # The first step, which is the first that is watched; what is watched is of its batch.
    before, after = path[:2]
    old, seen = look(before, rows[0], draws.noise[0])
    new, seen_after = look(after, rows[0], draws.noise[0])
    _, seen_later = look(after, rows[0], draws.noise[1])
    one_moved = jax.tree.map(lambda a, b: np.r_[b[:1], a[1:]], before.hidden, after.hidden)
    partly = before._replace(first=after.first, hidden=one_moved)
    changed, _ = look(partly, rows[0], draws.noise[0])
    kernels = [of.hidden.kernel[MIDDLE - 1] for of in (old, changed)]
    watched = jax.tree.map(lambda of: of[0], run.watched)
    by_layers = length(kernels[1] - kernels[0]) / length(kernels[0])
    assert watched.layer_change == pytest.approx(by_layers, rel=1e-3)
    cosine = flat(old) @ flat(new) / length(old) / length(new)
    assert watched.cosine == pytest.approx(cosine, rel=1e-4)
    promised = RATE * length(old) ** 2
    assert watched.share == pytest.approx(float(seen.loss - seen_after.loss) / promised, rel=1e-2)
    for place, of in enumerate((seen.middle, seen_later.middle)):
        np.testing.assert_allclose(watched.moments.mean[place], of.mean(0), rtol=1e-4)
        np.testing.assert_allclose(watched.moments.variance[place], of.var(0), rtol=1e-3)


# --- claims about batches, rates and the shift ---------------------------------------------------


def of_sizes(accuracy, gap):
    """Three seeds that are alike, of two sizes."""
    gaps = np.repeat(np.array(gap)[:, None], 3, axis=1)
    return Batches(
        1 + gaps, np.ones_like(gaps), 1.5 + gaps, np.repeat(np.array(accuracy)[:, None], 3, 1)
    )


LAYER = Batches(*(np.full((1, 3), of) for of in (1.0, 1.0, 1.5, 0.7)))


def test_claims_of_batches_can_fail():
    sizes = (4, 256)
    right = Found(
        {"batch": of_sizes((0.4, 0.8), (0.3, 0.01)), "renorm": of_sizes((0.4, 0.8), (0.01, 0.0))},
        LAYER,
    )
    assert batches.size_claim(sizes, right).holds
    assert batches.gap_claim(sizes, right).holds
    assert batches.renorm_claim(sizes, right).holds

    def changed(**of_batches):
        return right._replace(of_batches=right.of_batches | of_batches)

    assert not batches.size_claim(sizes, changed(batch=of_sizes((0.75, 0.8), (0.3, 0.0)))).holds
    assert not batches.size_claim(
        sizes, right._replace(layer=LAYER._replace(accuracy=np.full((1, 3), 0.45)))
    ).holds
    assert not batches.gap_claim(sizes, changed(batch=of_sizes((0.4, 0.8), (0.05, 0.0)))).holds
    assert not batches.gap_claim(sizes, changed(batch=of_sizes((0.4, 0.8), (0.3, -0.1)))).holds
    assert not batches.gap_claim(
        sizes, right._replace(layer=LAYER._replace(in_training=np.full((1, 3), 1.01)))
    ).holds
    assert not batches.renorm_claim(sizes, changed(renorm=of_sizes((0.4, 0.8), (-0.1, 0.0)))).holds


def test_gaps():
    of = Batches(*(np.full((1, 1), value) for value in (3.0, 1.0, 5.0, 0.5)))
    assert (of.gap(), of.overfit()) == (2, 4)


NONE, BATCHED, LAYERED = map(Kind, ("none", "batch", "layer"))
NOISY = experiment.NOISY


def tolerated(**largest):
    """Two seeds; of each kind the place of the largest rate at which it trains."""
    places = {NONE: 0, BATCHED: 2, LAYERED: 1, NOISY: 2} | {
        {"none": NONE, "batch": BATCHED, "layer": LAYERED, "noisy": NOISY}[name]: place
        for name, place in largest.items()
    }
    accuracy = [np.where(np.arange(3) <= place, 0.9, 0.1) for place in places.values()]
    return Rates(list(places), (0.1, 0.4, 1.6), np.repeat(np.array(accuracy)[..., None], 2, 2))


def test_largest_rates():
    accuracy = np.array([[[0.9, 0.2], [0.1, 0.3], [0.6, 0.4]]])
    (largest,) = Rates([NONE], (0.1, 0.4, 1.6), accuracy).largest().values()
    np.testing.assert_array_equal(largest, [1.6, np.nan])


def test_rates_claim_can_fail():
    assert rates.rates_claim(tolerated()).holds
    assert not rates.rates_claim(tolerated(none=1)).holds
    assert not rates.rates_claim(tolerated(layer=2)).holds
    assert not rates.rates_claim(tolerated(none=-1)).holds  # it trains at none of the rates


def test_distances_by_hand():
    """Of one seed, two looks and two units, the second of which is dead."""
    mean = jnp.array([[[[1.0, 0], [3, 0]], [[4, 0], [3, 0]]]])
    variance = jnp.array([[[[4.0, 0], [16, 0]], [[25, 0], [1, 0]]]])
    by_step, mean_moved, deviation_moved = shift.distances(Moments(mean, variance))
    np.testing.assert_allclose(by_step, [[2 / 2, 1 / 5]])
    np.testing.assert_allclose(mean_moved, [[2 / 2, 2 / 2]])
    np.testing.assert_allclose(deviation_moved, [[2 / 2, 1 / 2]])


def seen(by_step=0.3, mean_moved=2.0, cosine=0.0):
    """Three seeds and two looks that are alike."""
    numbers = (by_step, mean_moved, 1.0, 1.0, cosine, 0.5)
    return Shift(*(np.full((3, 2), of) for of in numbers))


def test_claims_of_the_shift_can_fail():
    right = {
        NONE: seen(),
        BATCHED: seen(by_step=0.01, mean_moved=0.1, cosine=0.5),
        NOISY: seen(by_step=0.5, mean_moved=0.4, cosine=0.5),
    }
    assert shift.moved_claim(right).holds
    assert shift.noise_claim(NOISY, right, tolerated()).holds
    assert shift.gradient_claim(right).holds
    assert not shift.moved_claim(right | {BATCHED: seen(mean_moved=0.5)}).holds
    assert not shift.noise_claim(NOISY, right | {NOISY: seen(by_step=0.2)}, tolerated()).holds
    assert not shift.noise_claim(NOISY, right, tolerated(noisy=1)).holds
    assert not shift.gradient_claim(right | {BATCHED: seen(cosine=-0.1)}).holds
