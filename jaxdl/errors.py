"""The one exception for what a user got wrong, and the hint at what was meant."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What a user gave cannot be used.

    The message is one to three lines that name the value and the way out. Command lines print it
    and exit with code 2 (`jaxdl.cli.main`); a notebook shows it as any ValueError.
    """


def near_names(name: str, choices: Iterable[str]) -> str:
    """Says which of ``choices`` were probably meant by ``name``, for use in an `InputError`.

    >>> near_names("adma", ["adam", "adamw", "sgd"])
    'did you mean adam, adamw?'
    >>> near_names("zzz", ["adam", "sgd"])
    'choose from adam, sgd'
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(name.lower(), choices, n=3, cutoff=0.6)
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"choose from {', '.join(choices)}"
