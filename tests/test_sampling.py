import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxdl.sampling import Cursor, Taste, generate, restrict

PROBABILITIES = np.array([0.05, 0.4, 0.1, 0.25, 0.2])
LOGITS = jnp.log(jnp.asarray(PROBABILITIES, jnp.float32))


def taken(taste: Taste, logits=LOGITS) -> set[int]:
    return set(np.flatnonzero(np.isfinite(restrict(logits, taste))).tolist())


def test_all_are_taken_by_default_at_their_own_probabilities():
    np.testing.assert_allclose(jax.nn.softmax(restrict(LOGITS, Taste())), PROBABILITIES, rtol=1e-5)


def test_all_are_taken_by_default_however_sure_the_first_is():
    logits = jnp.array([30.0, 0.0, -5.0])
    np.testing.assert_array_equal(restrict(logits, Taste()), logits)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature(temperature):
    powers = PROBABILITIES ** (1 / temperature)
    seen = jax.nn.softmax(restrict(LOGITS, Taste(temperature)))
    np.testing.assert_allclose(seen, powers / powers.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("top_k", "kept"),
    [(1, {1}), (2, {1, 3}), (4, {1, 2, 3, 4}), (5, set(range(5))), (99, set(range(5)))],
)
def test_top_k(top_k, kept):
    assert taken(Taste(top_k=top_k)) == kept


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, {1}), (0.39, {1}), (0.41, {1, 3}), (0.66, {1, 3, 4}), (1.0, set(range(5)))],
)
def test_nucleus(top_p, kept):
    assert taken(Taste(top_p=top_p)) == kept


def test_the_nucleus_is_that_at_the_temperature():
    """Halved, the likeliest of 0.4 has 0.4^2 / (sum of squares) = 0.58."""
    assert taken(Taste(0.5, top_p=0.57)) == {1}
    assert taken(Taste(0.5, top_p=0.6)) == {1, 3}


def test_temperature_0_takes_the_likeliest_and_the_first_of_equals():
    assert taken(Taste(0.0)) == {1}
    assert taken(Taste(0.0), jnp.zeros(4)) == {0}
    assert taken(Taste(top_k=2), jnp.zeros(4)) == {0, 1}


def test_numbers_are_traced():
    traces = []

    @jax.jit
    def traced(taste):
        traces.append(taste)
        return restrict(LOGITS, taste)

    for taste in (Taste(1.0, 2, 0.9), Taste(0.5, 3, 0.5)):
        traced(jax.tree.map(jnp.asarray, taste))
    assert len(traces) == 1


def walk(transitions, tokens, state):
    """A model that knows the last token only; its state counts the tokens read."""
    return transitions[tokens], state + tokens.shape[1]


def test_each_token_is_read_before_the_next_is_drawn():
    """A walk round a circle of five, sure of each step."""
    transitions = jnp.where(jnp.eye(5)[jnp.array([1, 2, 3, 4, 0])] > 0, 0.0, -jnp.inf)
    start = Cursor(transitions[jnp.array([0, 3])], jnp.int32(1))
    tokens, cursor = generate(
        Partial(walk, transitions), start, jax.random.key(0), Taste(), length=7
    )
    np.testing.assert_array_equal(tokens, [[1, 2, 3, 4, 0, 1, 2], [4, 0, 1, 2, 3, 4, 0]])
    assert cursor.state == 8
    np.testing.assert_array_equal(cursor.logits.argmax(axis=1), [3, 1])


def test_tokens_are_drawn_as_often_as_they_are_likely():
    transitions = jnp.broadcast_to(LOGITS, (5, 5))
    start = Cursor(jnp.broadcast_to(LOGITS, (40, 5)), jnp.int32(0))
    tokens, _ = generate(Partial(walk, transitions), start, jax.random.key(1), Taste(), length=500)
    shares = np.bincount(np.ravel(tokens), minlength=5) / tokens.size
    # Four standard deviations of a share of 20,000 draws.
    np.testing.assert_allclose(shares, PROBABILITIES, atol=4 * 0.5 / np.sqrt(tokens.size))
