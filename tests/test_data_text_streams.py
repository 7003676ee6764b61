"""Vocabularies of characters and bytes, and windows of long sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.data import (
    ByteVocabulary,
    Vocabulary,
    character_vocabulary,
    contiguous_streams,
    random_windows,
    windows,
)
from jaxdl.errors import InputError


def message(call, *arguments, **named):
    """The one line with which ``call`` refuses."""
    with pytest.raises(InputError) as refusal:
        call(*arguments, **named)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# Characters and bytes


def test_characters_there_and_back():
    text = "Où est\tle café? À Paris, 東京 🎭.\n"
    vocabulary = character_vocabulary(text)
    assert vocabulary.tokens == tuple(sorted(set(text)))
    ids = vocabulary.encode(text)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [sorted(set(text)).index(character) for character in text]
    for form in (ids, jnp.asarray(ids), ids.tolist()):
        assert vocabulary.decode(form) == text
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode([]) == ""


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.int32)])
def test_integers_are_as_small_as_they_may_be(size, dtype):
    text = "".join(map(chr, range(size)))
    ids = character_vocabulary(text).encode(text)
    assert ids.dtype == dtype
    np.testing.assert_array_equal(ids, np.arange(size))


def test_rare_characters_are_cut_off():
    text = "aaaa bbb cc d"  # three spaces
    assert character_vocabulary(text, min_count=3).tokens == (" ", "a", "b")
    assert character_vocabulary(text, max_size=2).tokens == (" ", "a")  # of equals, the first
    vocabulary = character_vocabulary(text, min_count=2, max_size=2, unknown="�")
    assert vocabulary.tokens == (" ", "a", "�")
    assert vocabulary.decode(vocabulary.encode("a dab")) == "a �a�"


def test_unknown_token_may_be_one_of_the_characters():
    vocabulary = character_vocabulary("a?b", unknown="?")
    assert vocabulary.tokens == ("?", "a", "b")
    assert vocabulary.decode(vocabulary.encode("abc?")) == "ab??"


def test_unknown_character_is_refused():
    line = message(character_vocabulary("abc").encode, "cabäx")
    assert line.startswith("'ä' at place 3 is not among the 3 tokens")
    assert "unknown token" in line


@pytest.mark.parametrize(("ids", "wrong"), [([0, 3], "3"), ([-1], "-1"), (jnp.array([1, 7]), "7")])
def test_integers_that_are_no_tokens_are_refused(ids, wrong):
    line = message(character_vocabulary("abc").decode, ids)
    assert line.startswith(f"{wrong} is no token")
    assert "0 to 2" in line


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: character_vocabulary(""), "no token is left"),
        (lambda: character_vocabulary("abc", min_count=2), "no token is left"),
        (lambda: character_vocabulary("abc", max_size=0), "max_size 0"),
        (lambda: Vocabulary(()), "no token"),
        (lambda: Vocabulary(("a", "b", "a")), "'a' is more than once"),
        (lambda: Vocabulary(("a", "b"), "c"), "'c' is not among the tokens"),
    ],
)
def test_vocabularies_that_are_none_are_refused(call, problem):
    assert problem in message(call)


def test_vocabulary_is_a_value():
    """Equal and hashable by its tokens, so that a program may be compiled for it."""
    assert character_vocabulary("abc") == character_vocabulary("cab")
    assert len({character_vocabulary("abc"), Vocabulary(("a", "b", "c"))}) == 1


def test_bytes_there_and_back():
    vocabulary = ByteVocabulary()
    text = "".join(map(chr, range(0x250))) + "東京 🎭"
    ids = vocabulary.encode(text)
    assert ids.dtype == np.uint8
    assert ids.tolist() == list(text.encode())
    assert vocabulary.decode(jnp.asarray(ids, jnp.int32)) == text
    assert vocabulary.decode([0x41, 0xC3, 0x42]) == "A�B"


def test_what_is_no_byte_and_no_character_is_refused():
    assert "256 is no token" in message(ByteVocabulary().decode, [0, 256])
    assert message(ByteVocabulary().encode, "ab\udcff").startswith("'\\udcff' at place 2")


# Windows in a row


@pytest.mark.parametrize(("count", "batch_size", "length"), [(13, 2, 3), (24, 3, 4), (8, 7, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_streams_by_their_definition(count, batch_size, length, dtype):
    tokens = np.random.default_rng(0).integers(0, 200, count).astype(dtype)
    inputs, targets = contiguous_streams(tokens, batch_size, length)
    assert isinstance(inputs, jax.Array)
    assert inputs.dtype == jnp.int32
    assert targets.dtype == jnp.int32
    steps = (count - 1) // (batch_size * length)
    assert inputs.shape == targets.shape == (steps * batch_size, length)
    for step in range(steps):
        for stream in range(batch_size):
            for place in range(length):
                at = stream * steps * length + step * length + place
                is_first = step == place == 0
                token = ~tokens[at].astype(int) if is_first else tokens[at]
                assert inputs[step * batch_size + stream, place] == token
                assert targets[step * batch_size + stream, place] == tokens[at + 1]


def test_streams_go_on_from_batch_to_batch():
    tokens = np.arange(1000)
    inputs, targets = contiguous_streams(tokens, batch_size=5, length=11)
    batches = np.asarray(inputs).reshape(-1, 5, 11)
    np.testing.assert_array_equal(batches[1:, :, 0], batches[:-1, :, -1] + 1)
    assert (batches < 0).sum() == (batches[0, :, 0] < 0).sum() == 5
    inputs = np.where(inputs < 0, ~inputs, inputs)
    np.testing.assert_array_equal(targets, inputs + 1)
    assert len(np.unique(inputs)) == inputs.size > 1000 - 5 * 11 - 1


@pytest.mark.parametrize(("length", "stride"), [(3, None), (3, 1), (3, 2), (1, 5), (19, None)])
def test_windows_by_their_definition(length, stride):
    tokens = np.random.default_rng(0).integers(0, 200, 20).astype(np.uint8)
    inputs, targets = windows(tokens, length, stride)
    assert inputs.dtype == jnp.uint8
    assert targets.dtype == jnp.int32
    starts = range(0, 20 - length, stride or length)
    assert inputs.tolist() == [tokens[start : start + length].tolist() for start in starts]
    assert targets.tolist() == [tokens[start + 1 :][:length].tolist() for start in starts]


# Windows anywhere


@pytest.fixture(scope="module")
def drawn():
    draw = jax.jit(random_windows, static_argnames="length")
    return draw(jnp.arange(20), jax.random.split(jax.random.key(0), 6000), length=4)


def test_random_windows_are_windows(drawn):
    inputs, targets = drawn
    assert inputs.shape == targets.shape == (6000, 4)
    np.testing.assert_array_equal(inputs, np.add.outer(inputs[:, 0], np.arange(4)))
    np.testing.assert_array_equal(targets, inputs + 1)


def test_random_windows_are_equally_likely_and_all_there(drawn):
    """16 places: each has 375 of 6,000 on average, with a deviation of 19."""
    counts = np.bincount(drawn.inputs[:, 0])
    assert len(counts) == 16
    assert abs(counts - 375).max() < 4 * 19


def test_random_windows_share_nothing_with_other_draws_of_their_keys(drawn):
    keys = jax.random.split(jax.random.key(0), 6000)
    others = jax.vmap(lambda key: jax.random.randint(key, (), 0, 16))(keys)
    assert abs(np.corrcoef(drawn.inputs[:, 0], others)[0, 1]) < 4 / np.sqrt(6000)


def test_each_random_window_belongs_to_its_key(drawn):
    keys = jax.random.split(jax.random.key(0), 6000)
    some = random_windows(jnp.arange(20), keys[17:19], 4)
    np.testing.assert_array_equal(some.inputs, drawn.inputs[17:19])


def test_random_windows_keep_the_type():
    tokens = jnp.arange(5, dtype=jnp.uint8)
    inputs, targets = random_windows(tokens, jax.random.split(jax.random.key(0), 3), 4)
    assert (inputs.dtype, targets.dtype) == (jnp.uint8, jnp.int32)
    np.testing.assert_array_equal(inputs, [[0, 1, 2, 3]] * 3)


# What a user can get wrong


def test_texts_shorter_than_a_window_are_refused():
    tokens, keys = np.arange(12), jax.random.split(jax.random.key(0), 2)
    for call, arguments, needed in (
        (contiguous_streams, (tokens, 3, 4), 13),
        (windows, (tokens, 12), 13),
        (windows, (tokens[:0], 1), 2),
        (random_windows, (jnp.asarray(tokens), keys, 12), 13),
    ):
        line = message(call, *arguments)
        assert line.startswith(f"{len(arguments[0])} tokens are too few for ")
        assert f"which take {needed}:" in line
    assert contiguous_streams(np.arange(13), 3, 4).inputs.shape == (3, 4)
    assert windows(np.arange(13), 12).inputs.shape == (1, 12)


def test_sizes_below_one_are_refused():
    tokens, keys = np.arange(12), jax.random.split(jax.random.key(0), 2)
    assert "batch_size 0" in message(contiguous_streams, tokens, 0, 4)
    assert "length -1" in message(contiguous_streams, tokens, 2, -1)
    assert "length 0" in message(windows, tokens, 0)
    assert "stride 0" in message(windows, tokens, 2, 0)
    assert "length 0" in message(random_windows, jnp.asarray(tokens), keys, 0)
