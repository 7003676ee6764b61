"""Optimizers by name against plain Optax and NumPy loops, and their configuration."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from jaxdl import cli
from jaxdl.errors import InputError
from jaxdl.optim import (
    ClipConfig,
    OptimizerConfig,
    ScheduleConfig,
    averaged_params,
    check,
    make_optimizer,
    telemetry,
)
from jaxdl.optim.fields import require_number
from jaxdl.optim.library import NOT_OFFERED, arguments_of, optimizers

TARGET = {"dense": {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.5, -1.0])}}
START = jax.tree.map(lambda leaf: 1.5 * leaf + 0.3, TARGET)


def quadratic(params):
    squares = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), params, TARGET)
    return sum(jax.tree.leaves(squares))


def three_steps(optimizer):
    """The losses before each of three steps, the parameters and the state after them."""

    def step(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(quadratic)(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    carry, losses = jax.lax.scan(step, (START, optimizer.init(START)), None, length=3)
    return losses, *carry


def params_after(optimizer):
    """The parameters after three steps, compiled."""
    return jax.jit(lambda: three_steps(optimizer)[1])()


def assert_trees_close(actual, expected, rtol=1e-5):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, e = jax.random.key_data(a), jax.random.key_data(e)
        np.testing.assert_allclose(a, e, rtol, 1e-7)


# --- every optimizer of Optax ---------------------------------------------------------------------


def numbers_of(name):
    """A value for each argument of an optimizer that is a float."""
    module = optax if hasattr(optax, name) else optax.contrib
    numbers = {}
    for key, parameter in inspect.signature(getattr(module, name)).parameters.items():
        if isinstance(parameter.default, tuple):
            numbers |= {f"{key}_{i}": entry for i, entry in enumerate(parameter.default)}
        else:
            numbers[key] = parameter.default if isinstance(parameter.default, float) else 0.01
    return {
        key: numbers[key] for key, argument in arguments_of(name).items() if argument.kind is float
    }


def plain_optax(name, learning_rate, numbers):
    """Optax called by hand; ``betas_0`` and ``betas_1`` are a tuple there."""
    module = optax if hasattr(optax, name) else optax.contrib
    arguments = {"key": 0} if name == "noisy_sgd" else {}
    for key, number in sorted(numbers.items()):
        if key[-2:] in ("_0", "_1", "_2"):
            arguments[key[:-2]] = (*arguments.get(key[:-2], ()), number)
        else:
            arguments[key] = number
    return getattr(module, name)(learning_rate, **arguments)


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_every_optimizer_is_optax_with_its_numbers_traced(name):
    traces = []

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def both(config):
        traces.append(config)
        ours = three_steps(make_optimizer(config))
        theirs = plain_optax(name, config.learning_rate, config.arguments)
        return ours, three_steps(theirs)

    configs = [OptimizerConfig(name, 1e-3, numbers_of(name))]
    configs.append(jax.tree.map(lambda number: 0.9 * number, configs[0]))
    results = [both(config) for config in configs]

    assert len(traces) == 1
    for (losses, params, state), (_, expected, expected_state) in results:
        assert_trees_close((params, state.chain[1]), (expected, expected_state))
        assert np.isfinite(losses).all()
        assert losses[2] <= losses[0] or name == "noisy_sgd"
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


def test_whatever_optax_has_is_offered_or_refused_with_a_reason():
    for name in ("adabelief", "adam", "muon", "prodigy", "rprop", "schedule_free_sgd", "sgd"):
        assert name in optimizers()
    for name in NOT_OFFERED:
        assert name in vars(optax) or name in vars(optax.contrib)
        with pytest.raises(InputError, match=f"{name} cannot be had by name"):
            make_optimizer(OptimizerConfig(name))


# --- numbers by hand ------------------------------------------------------------------------------


def test_the_default_is_the_adadelta_of_keras():
    """Zeiler 2012, algorithm 1, in float64."""
    p, t = np.asarray(START["dense"]["kernel"], float), np.asarray(TARGET["dense"]["kernel"], float)
    rho, eps, squares, moves = 0.95, 1e-7, 0.0, 0.0
    for _ in range(3):
        gradient = 2 * (p - t)
        squares = rho * squares + (1 - rho) * gradient**2
        move = np.sqrt(moves + eps) / np.sqrt(squares + eps) * gradient
        moves = rho * moves + (1 - rho) * move**2
        p = p - 1.0 * move
    params = params_after(make_optimizer(OptimizerConfig()))
    np.testing.assert_allclose(params["dense"]["kernel"], p, rtol=1e-6)


def test_weight_decay_is_decoupled_and_follows_the_schedule():
    """p -= rate * (gradient + momentum of it) + rate * decay * p, the rate cosine over 3 steps."""
    config = OptimizerConfig(
        "sgd", 0.1, {"momentum": 0.9}, ScheduleConfig("cosine"), weight_decay=0.3
    )
    p, t = np.asarray(START["dense"]["bias"], float), np.asarray(TARGET["dense"]["bias"], float)
    momentum = 0.0
    for step in range(3):
        rate = 0.1 * (1 + np.cos(np.pi * step / 3)) / 2
        momentum = 2 * (p - t) + 0.9 * momentum
        p = p - rate * momentum - rate * 0.3 * p
    _, params, state = jax.jit(three_steps)(make_optimizer(config, total_steps=3))
    np.testing.assert_allclose(params["dense"]["bias"], p, rtol=1e-6)
    np.testing.assert_allclose(telemetry(state)["learning_rate"], rate, rtol=1e-6)


def test_weight_decay_takes_the_place_of_the_one_optax_gives_adamw():
    ours = params_after(make_optimizer(OptimizerConfig("adamw", 0.1, weight_decay=0.2)))
    assert_trees_close(ours, params_after(optax.adamw(0.1, weight_decay=0.2)))
    by_default = params_after(make_optimizer(OptimizerConfig("adamw", 0.1)))
    assert_trees_close(by_default, params_after(optax.adamw(0.1)))


def test_a_schedule_moves_the_rate_inside_any_optimizer():
    rates = optax.cosine_decay_schedule(0.1, 5)
    for name in ("adam", "fromage", "lars"):
        config = OptimizerConfig(name, 0.1, schedule=ScheduleConfig("cosine"))
        ours = params_after(make_optimizer(config, total_steps=5))
        assert_trees_close(ours, params_after(getattr(optax, name)(rates)))


def test_muon_scales_the_rate_of_its_adam_too():
    config = OptimizerConfig("muon", 0.1, {"adam_learning_rate": 0.5}, ScheduleConfig("cosine"))
    rates = optax.cosine_decay_schedule(0.1, 5), optax.cosine_decay_schedule(0.5, 5)
    theirs = optax.contrib.muon(rates[0], adam_learning_rate=rates[1])
    assert_trees_close(params_after(make_optimizer(config, total_steps=5)), params_after(theirs))


# --- a pytree of numbers --------------------------------------------------------------------------


FULL = OptimizerConfig(
    "sgd",
    0.1,
    {"momentum": 0.5, "nesterov": True},
    ScheduleConfig("step", warmup=0.1, arguments={"every": 0.5}),
    ClipConfig(lower=-1.0, upper=2.0, layer_norm=3.0, global_norm=4.0),
    weight_decay=0.2,
    average=0.6,
)


def test_numbers_are_leaves_and_the_rest_is_static():
    assert sorted(jax.tree.leaves(FULL)) == sorted(
        [0.1, 0.5, 0.1, 0.5, -1.0, 2.0, 3.0, 4.0, 0.2, 0.6]
    )
    other = dataclasses.replace(FULL, arguments={"momentum": 0.5, "nesterov": False})
    assert jax.tree.structure(FULL) != jax.tree.structure(other)
    assert jax.tree.map(lambda number: number, FULL) == FULL
    both = dataclasses.replace(FULL, name="adamw", arguments={"weight_decay": 0.7})
    assert jax.tree.map(lambda number: number, both) == both


def test_no_number_recompiles_and_the_optimizer_is_an_argument():
    traces = []

    @jax.jit
    def run(optimizer):
        traces.append(optimizer)
        return three_steps(optimizer)[1]

    first = run(make_optimizer(FULL, total_steps=10))
    changed = jax.tree.map(lambda number: 0.5 * number, FULL)
    second = run(make_optimizer(changed, total_steps=jnp.int32(7)))
    run(make_optimizer(dataclasses.replace(FULL, arguments={"momentum": 1, "nesterov": True}), 10))
    assert len(traces) == 1
    assert not np.array_equal(first["dense"]["bias"], second["dense"]["bias"])


def test_vmap_runs_over_configurations():
    rates = jnp.array([0.1, 0.3])

    def run(rate, total_steps):
        config = OptimizerConfig("adam", rate, schedule=ScheduleConfig("cosine", warmup=0.2))
        return three_steps(make_optimizer(config, total_steps))[1]

    together = jax.jit(jax.vmap(run))(rates, jnp.array([10, 20]))
    alone = jax.jit(run)(0.3, 20)
    assert_trees_close(jax.tree.map(lambda leaf: leaf[1], together), alone, rtol=1e-6)
    stacked = jax.tree.map(lambda number: jnp.array([number, number]), FULL)
    whole = jax.jit(jax.vmap(lambda config: three_steps(make_optimizer(config, 9))[1]))(stacked)
    assert whole["dense"]["bias"].shape == (2, 2)


@pytest.mark.parametrize("name", ["adam", "dog", "schedule_free_adamw"])
def test_a_state_can_be_donated_with_its_parameters_and_keeps_bfloat16(name):
    optimizer = make_optimizer(OptimizerConfig(name, 0.01, {"eps": 1e-6}, average=0.9))
    params = {"kernel": jnp.ones((2, 2), jnp.bfloat16)}
    state = optimizer.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    after = step(params, state)
    types = jax.tree.map(lambda leaf: leaf.dtype, (params, state))
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == types
    assert averaged_params(after[1], after[0])["kernel"].dtype == jnp.bfloat16


def test_it_stands_in_a_chain_of_ones_own():
    chain = optax.chain(optax.scale(2.0), make_optimizer(OptimizerConfig("sgd", 0.1, average=0.5)))
    params = {"w": jnp.array([3.0, 4.0])}
    updates, state = chain.update(params, chain.init(params), params)
    np.testing.assert_allclose(updates["w"], [-0.6, -0.8], rtol=1e-6)
    assert telemetry(state)["gradient_norm"] == 10.0
    np.testing.assert_allclose(averaged_params(state, params)["w"], [2.4, 3.2], rtol=1e-6)


def test_a_chain_without_our_states_has_no_telemetry_and_no_average():
    state = optax.adam(0.1).init(START)
    assert telemetry(state) == {}
    assert averaged_params(state, START) is START


# --- from a user ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Command:
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)


def parse(line):
    return cli.parse(Command, line.split()).optimizer


def test_a_command_line_sets_every_field():
    line = (
        "--optimizer.name sgd --optimizer.learning-rate 1e-1 --optimizer.arguments momentum=0.5"
        " nesterov=True --optimizer.schedule.name step --optimizer.schedule.warmup 0.1"
        " --optimizer.schedule.arguments every=0.5 --optimizer.clip.lower -1"
        " --optimizer.clip.upper 2 --optimizer.clip.layer-norm 3 --optimizer.clip.global-norm 4"
        " --optimizer.weight-decay 0.2 --optimizer.average 0.6"
    )
    assert parse(line) == FULL
    assert parse("") == OptimizerConfig()
    check(parse("--optimizer.name adam --optimizer.arguments b1=0 eps=1e-7"))
    assert parse("--optimizer.average None").average is None


def test_help_says_what_each_field_means(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "The learning rate, before any schedule" in text
    assert "cosine, one_cycle" in text
    assert "The largest norm of the whole gradient." in text


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "adma"}, "unknown optimizer 'adma': did you mean .*adam"),
        ({"name": "lbfgs"}, "lbfgs cannot be had by name: its line search"),
        ({"arguments": {"b1": 0.9}}, "adadelta takes no argument 'b1': choose from eps, rho"),
        ({"name": "sgd", "arguments": {"momentun": 0.9}}, "did you mean momentum?"),
        ({"name": "sign_sgd", "arguments": {"b1": 0.9}}, "it takes none"),
        ({"arguments": {"rho": None}}, "rho must be a number, not None"),
        ({"arguments": {"rho": NAN}}, "rho must be a finite number.*, not nan"),
        ({"name": "sgd", "arguments": {"nesterov": 0.5}}, "nesterov must be True or False"),
        ({"name": "sgd", "arguments": {"momentum": True}}, "momentum must be a number or None"),
        ({"name": "muon", "arguments": {"ns_steps": 2.5}}, "ns_steps must be a whole number"),
        ({"learning_rate": NAN}, "learning_rate must be a finite number 0 or more, not nan"),
        ({"learning_rate": INF}, "learning_rate must be"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
        ({"learning_rate": jnp.array([0.1, NAN])}, "learning_rate must be"),
        ({"weight_decay": -0.1}, "weight_decay must be"),
        ({"name": "adamw", "weight_decay": 0.1, "arguments": {"weight_decay": 0.1}}, "given twice"),
        ({"name": "schedule_free_sgd", "weight_decay": 0.1}, "set its argument weight_decay"),
        ({"average": 1.0}, "average must be a finite number from 0 to below 1, not 1.0"),
        ({"schedule": ScheduleConfig("cosin")}, "unknown schedule 'cosin': did you mean cosine"),
        ({"arguments": {"rho": 7.0}}, "rho must be a finite number from 0 to below 1"),
        ({"name": "adam", "arguments": {"b1": 1.0}}, "b1 must be a finite number from 0 to below"),
        ({"name": "sgd", "arguments": {"momentum": -3}}, "momentum must be a finite number from"),
        ({"name": "adam", "arguments": {"eps": -1e-8}}, "eps must be a finite number 0 or more"),
        ({"schedule": ScheduleConfig("cosine", arguments={"final": 0.0})}, "no argument 'final'"),
        ({"schedule": ScheduleConfig("step", arguments={"every": 0.0})}, "every must be"),
        ({"schedule": ScheduleConfig(warmup=1.0)}, "schedule.warmup must be"),
        ({"schedule": ScheduleConfig("one_cycle", warmup=0.1)}, "set its argument rise"),
        ({"name": "rprop", "schedule": ScheduleConfig("cosine")}, "give it no schedule"),
        ({"clip": ClipConfig(global_norm=0.0)}, "clip.global_norm must be"),
        ({"clip": ClipConfig(layer_norm=INF)}, "clip.layer_norm must be"),
        ({"clip": ClipConfig(lower=1.0, upper=-1.0)}, "clip.lower 1.0 is above clip.upper -1.0"),
    ],
)
def test_what_cannot_be_is_named_in_one_line(fields, message):
    with pytest.raises(InputError, match=message) as caught:
        check(OptimizerConfig(**fields))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["0.9", True, None])
def test_what_is_no_number_is_said_so(value):
    with pytest.raises(InputError, match=f"rho must be a number, not {value!r}"):
        require_number("rho", value)


@pytest.mark.parametrize("schedule", [ScheduleConfig("cosine"), ScheduleConfig(warmup=0.1)])
def test_a_schedule_that_ends_needs_the_length_of_the_run(schedule):
    with pytest.raises(InputError, match="give total_steps"):
        make_optimizer(OptimizerConfig(schedule=schedule))


def test_good_configurations_pass():
    check(OptimizerConfig())
    check(FULL)
    check(OptimizerConfig("sgd", jnp.array([0.1, 0.2]), {"momentum": None}))
