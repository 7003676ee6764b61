"""Writes a text with a trained network, a token at a time.

    python -m experiments.generate_text runs/char_lm/TIME
    python -m experiments.generate_text runs/char_lm/TIME --prompt "def " --temperature 0.7
    python -m experiments.generate_text runs/char_lm/TIME --top-k 20 --top-p 0.9 --length 2000

What is written appears as it is drawn, and how fast at the end, on stderr. The same seed writes the
same text.
"""

import codecs
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.tree_util import Partial

from experiments import char_lm
from experiments.char_lm.vocabularies import AnyVocabulary, read_vocabulary
from jaxdl import checkpoint, cli, models
from jaxdl.data import Vocabulary
from jaxdl.errors import InputError
from jaxdl.runs import check_least, check_seed
from jaxdl.sampling import Cursor, Taste, generate
from jaxdl.types import Params

CHUNK = 32
"""Tokens between two looks at what was drawn."""


@dataclass(frozen=True)
class Config:
    """What can be set."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a finished run of char_lm."""
    prompt: str = "\n"
    """To go on from."""
    length: int = 1000
    """Tokens to write: characters, or bytes where the network was trained on bytes."""
    temperature: float = 0.8
    """Below 1 surer, above 1 wilder; 0 always takes the likeliest token."""
    top_k: int | None = None
    """Only so many of the likeliest tokens."""
    top_p: float = 1.0
    """Only the likeliest tokens that have this probability together."""
    seed: int = 0
    """Of the draws."""


def run(config: Config) -> None:
    """Reads the prompt and writes on."""
    check(config)
    cell, params, vocabulary = load_network(config.run)
    prompt = vocabulary.encode(config.prompt)
    print(config.prompt, end="")
    moments = []
    for text in decoded(vocabulary, drawn(config, cell, params, vocabulary.size, prompt)):
        print(text, end="", flush=True)
        moments.append(time.perf_counter())
    print()
    chunks = -(-config.length // CHUNK)
    if chunks > 1:  # the first one compiles
        each = (moments[chunks - 1] - moments[0]) / (chunks - 1) / CHUNK
        print(f"{1 / each:,.0f} tokens a second, {1e3 * each:.2f} ms each", file=sys.stderr)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    if not config.prompt:
        raise InputError("--prompt: give a character or more to go on from")
    check_least(config, {"length": 1, "temperature": 0, "top_k": 1})
    if not 0 < config.top_p <= 1:
        raise InputError(f"--top-p {config.top_p}: give a probability, above 0 and at most 1")
    check_seed(config.seed)


def load_network(directory: Path) -> tuple[str, Params, AnyVocabulary]:
    """The cell, the parameters and the vocabulary of a run.

    Raises:
        InputError: ``directory`` holds no finished run.
    """
    settings = cli.load_config(char_lm.Config, directory)
    vocabulary = read_vocabulary(directory)
    model = char_lm.build_model(settings, vocabulary.size)
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
    restored = checkpoint.restore_newest(
        directory / "model", like._replace(model_state={}), config={}
    )
    if restored is None:
        raise InputError(f"{directory} holds no finished run of char_lm: train one first")
    return settings.cell, restored.state.params, vocabulary


def drawn(
    config: Config, cell: str, params: Params, size: int, prompt: np.ndarray
) -> Iterator[np.ndarray]:
    """The tokens in chunks of `CHUNK`, the last one shorter; ``size`` is that of the vocabulary."""
    read: Partial = models.reader(cell, params)
    logits, state = jax.jit(read)(jnp.asarray(prompt, jnp.int32)[None], None)
    cursor = Cursor(logits[:, -1], state)
    top_k = size if config.top_k is None else min(config.top_k, size)
    taste = Taste(jnp.float32(config.temperature), jnp.int32(top_k), jnp.float32(config.top_p))
    for start in range(0, config.length, CHUNK):
        key = jax.random.fold_in(jax.random.key(config.seed), start // CHUNK)
        tokens, cursor = generate(read, cursor, key, taste, length=CHUNK)
        yield np.asarray(tokens[0])[: config.length - start]


def decoded(vocabulary: AnyVocabulary, chunks: Iterable[np.ndarray]) -> Iterator[str]:
    """The text of each chunk.

    Of bytes, a character that goes on in the next chunk is in that one's text, and what is left of
    one at the end comes last.
    """
    if isinstance(vocabulary, Vocabulary):
        yield from map(vocabulary.decode, chunks)
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chunk in chunks:
        yield decoder.decode(chunk.astype(np.uint8).tobytes())
    yield decoder.decode(b"", final=True)


if __name__ == "__main__":
    cli.main(run, Config)
