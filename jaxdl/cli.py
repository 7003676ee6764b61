"""The command line of every experiment: flags from a frozen dataclass, errors in three lines.

An experiment is a function of its config::

    if __name__ == "__main__":
        cli.main(run, Config)

Each field of the config is a flag, its docstring the help, a nested dataclass a prefix
(``--optimizer.learning-rate 0.3``); a dict takes ``NAME=VALUE ...`` and replaces its default.
``--config FILE`` takes the defaults from an earlier run, where the config is a run's (it derives
from `RunOptions`), ``--recipe NAME``, where an experiment has recipes, from one of them, and
``--quick``, where it has a quick form, from that.
"""

import argparse
import contextlib
import dataclasses
import difflib
import functools
import io
import json
import operator
import os
import re
import signal
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jaxtyping
import tyro
from jax.sharding import Mesh
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

from jaxdl.errors import InputError, near_names
from jaxdl.parallel import make_mesh, own_cores
from jaxdl.runs import CONFIG, EXPERIMENT, RunOptions
from jaxdl.signals import Interrupted, raise_on_sigterm

Config = TypeVar("Config")

MAX_ERROR_LINES = 3
_CONFIG_HELP = "--config FILE takes the defaults from the config.json of an earlier run instead."
_MOST_CPU_DEVICES = 256  # JAX makes any number, but takes a minute for 20,000
_LEAST_SHARE = 8  # examples; of fewer a device makes small products, and waits for the others
_BROKEN_PIPE = 128 + 13  # the shell's code for SIGPIPE, which Windows lacks


# --- the entry of a program ----------------------------------------------------------------------


def main(
    experiment: Callable[[Config], None],
    config_type: type[Config],
    arguments: Sequence[str] | None = None,
    *,
    recipes: Mapping[str, Config] | None = None,
    quick: Config | None = None,
) -> None:
    """Parses the command line and runs ``experiment`` on the config it gives.

    What a user got wrong (`InputError`) is printed as ``error: ...`` on stderr and exits with code
    2; a signal prints one line and exits with 128 plus its number. Any other exception is a bug and
    keeps its traceback.

    Args:
        experiment: a function of one config; its module's docstring describes the program.
        config_type: a frozen dataclass with defaults.
        arguments: instead of ``sys.argv[1:]``.
        recipes: configs by the name that their field ``recipe`` has; ``--recipe NAME`` makes one
            the default of every other flag.
        quick: the config that ``--quick`` makes the default of every other flag, its own field
            ``quick`` true.
    """
    module = sys.modules[experiment.__module__]
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with raise_on_sigterm():
            try:
                texts = {"prog": _program(module), "description": _description(module, config_type)}
                experiment(parse(config_type, arguments, recipes, quick, **texts))
            finally:
                sys.stdout.flush()  # here, where a broken pipe is still caught
    except InputError as error:
        print("error:", "\n".join(str(error).splitlines()[:MAX_ERROR_LINES]), file=sys.stderr)
        sys.exit(2)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(128 + interrupted.number)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Nobody reads any more: let Python's last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE)


def parse(
    config_type: type[Config],
    arguments: Sequence[str],
    recipes: Mapping[str, Config] | None = None,
    quick: Config | None = None,
    **texts: str,
) -> Config:
    """The config that a command line asks for; see `main`.

    ``--help`` prints every flag with its meaning and default, and raises SystemExit. What it says
    besides are the ``texts``: ``prog`` and ``description``.

    Raises:
        InputError: a flag that is unknown or whose value cannot be read, or a bad ``--config``.
    """
    default, arguments = _split_default(config_type, arguments, recipes or {}, quick)
    return _parse_flags(config_type, arguments, default=default, **texts)


def load_config(config_type: type[Config], path: Path, source: str = "run") -> Config:
    """A config from the ``config.json`` of a run, or from the run directory that holds it.

    Args:
        config_type: the experiment's.
        path: of the file or the directory.
        source: what errors say before the path: the flag that gave it, or what it should be.

    Raises:
        InputError: the file cannot be read, or holds a setting that ``config_type`` lacks or that
            has another type there.
    """
    path = path / CONFIG if path.is_dir() else path
    named = f"{source} {path}"
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{named}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{named} is not JSON: {error}") from error
    if isinstance(values, dict):
        values.pop(EXPERIMENT, None)
    try:
        arguments = [*_as_arguments(config_type, values)]
        return _parse_flags(config_type, arguments, config=(tyro.conf.FlagConversionOff,))
    except InputError as error:
        raise InputError(f"{named}: {error}") from error


# --- devices -------------------------------------------------------------------------------------


def use_devices(count: int | None = None) -> Mesh:
    """A mesh of ``count`` devices: accelerators where there are any, else CPU cores.

    A CPU is made into ``count`` devices, so call it before any computation; once JAX has begun,
    those that are there must do.

    Args:
        count: how many; by default all accelerators, or as many as this process has CPU cores.

    Raises:
        InputError: ``count`` is less than 1 or more than there can be.
    """
    cores = min(own_cores(), _MOST_CPU_DEVICES) if count is None else count
    if 1 < cores <= _MOST_CPU_DEVICES:
        # JAX refuses the setting once it has begun; `make_mesh` then counts what is there.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores)
    return make_mesh(count)


def use_devices_for_batches(count: int | None, batch_size: int) -> Mesh:
    """The same for batches that are split over the devices.

    Args:
        count: how many; by default as many as there are, if each gets as many examples as every
            other and at least `_LEAST_SHARE` of them.
        batch_size: examples in a batch.

    Raises:
        InputError: ``count`` is less than 1 or more than there can be.
    """
    mesh = use_devices(count)
    if count is not None:
        return mesh
    most = min(mesh.size, batch_size // _LEAST_SHARE)
    return make_mesh(max((n for n in range(1, most + 1) if batch_size % n == 0), default=1))


# --- flags ---------------------------------------------------------------------------------------


def _parse_flags(config_type: type[Config], arguments: Sequence[str], **settings) -> Config:
    """Tyro's parser, its boxes made into an `InputError`."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            config, unknown = tyro.cli(
                config_type,
                args=arguments,
                return_unknown_args=True,
                registry=_TYPES,
                **settings,
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise _cause(stop) or InputError(_text_of(box.getvalue())) from None
    if unknown:
        raise InputError(_unknown(unknown[0], config_type))
    return config


def _cause(error: BaseException) -> InputError | None:
    """The `InputError` of a config's own checks, from which tyro made an exit."""
    while error.__context__ is not None:
        error = error.__context__
        if isinstance(error, InputError):
            return error
    return None


def _text_of(box: str) -> str:
    """The parts of one of tyro's boxes, a line each: the error, the flag's help, the way on."""
    uncoloured = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [row.strip("│╰╯ ") for row in uncoloured.splitlines()[1:]]  # the first one is a title
    parts = re.split(r"^[─-]+$", "\n".join(rows), flags=re.MULTILINE)
    lines = [" ".join(part.split()).removeprefix("Error parsing ") for part in parts]
    # Why each member of a union did not take the value says nothing new.
    text = "\n".join(line.split(" Got errors:")[0] for line in lines if line)
    for of_python, plain in _PLAIN_WORDS.items():
        text = re.sub(of_python, plain, text)
    return text


_PLAIN_WORDS = {
    r"invalid literal for int\(\) with base 10: ('.*?')": r"\1 is no whole number",
    r"could not convert string to float: ('.*?')": r"\1 is no number",
    r"Could not find valid parse for arguments: \[(.*?)\]": r"cannot read \1",
}


def _split_default(
    config_type: type[Config],
    arguments: Sequence[str],
    recipes: Mapping[str, Config],
    quick: Config | None,
) -> tuple[Any, list[str]]:
    """The config that one of three flags makes the default, and the flags for tyro."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.set_defaults(config=None)
    if _is_of_runs(config_type):
        parser.add_argument("--config", type=Path)
    parser.add_argument("--recipe")
    parser.set_defaults(quick=False)
    if quick is not None:
        parser.add_argument("--quick", action="store_true")
    try:
        known, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InputError(str(error)) from error
    if known.recipe is not None:
        others.append(f"--recipe={known.recipe}")  # a flag like any other as well
    given = {
        "--config": known.config is not None,
        "--recipe": known.recipe in recipes,
        "--quick": known.quick,
    }
    if sum(given.values()) > 1:
        named = " and ".join(flag for flag, is_given in given.items() if is_given)
        raise InputError(f"{named} both give every default; choose one of them")
    if given["--config"]:
        return load_config(config_type, known.config, "--config"), others
    if given["--quick"]:
        return quick, others
    return recipes.get(str(known.recipe), tyro.MISSING_NONPROP), others


def _is_of_runs(config_type: type) -> bool:
    """Whether runs have such a config in their ``config.json``, for ``--config`` to read."""
    return issubclass(config_type, RunOptions)


def _unknown(argument: str, config_type: type) -> str:
    if not argument.startswith("-"):
        return f"{argument!r} belongs to no flag; see --help"
    name = argument.split("=")[0].lstrip("-").replace("_", "-")
    flags = {*_flags(config_type), *(["config"] if _is_of_runs(config_type) else [])}
    last = {flag: flag.split(".")[-1] for flag in flags}
    # Who forgets a prefix, or a letter of the last part, means the flag that ends alike; who goes
    # into a dict by a dot, the dict.
    endings = difflib.get_close_matches(name.split(".")[-1], last.values())
    near = [
        f"--{flag}"
        for flag in sorted(flags)
        if last[flag] in endings or name.startswith(f"{flag}.")
    ]
    hint = f"did you mean {', '.join(near)}?" if near else "see --help"
    return f"unknown flag {argument}; {hint}"


def _flags(config_type: type, prefix: str = "") -> Iterator[str]:
    for name, kind in _field_types(config_type).items():
        flag = prefix + name.replace("_", "-")
        if dataclasses.is_dataclass(kind):
            yield from _flags(typing.cast(type, kind), f"{flag}.")
        else:
            yield flag


def _field_types(config_type: type) -> dict[str, Any]:
    types = typing.get_type_hints(config_type)
    return {
        field.name: types[field.name] for field in dataclasses.fields(config_type) if field.init
    }


def _as_arguments(config_type: type, values: Any, prefix: str = "") -> Iterator[str]:
    """The command line that sets the values of a JSON object, so that tyro checks their types."""
    if not isinstance(values, dict):
        raise InputError(f"{prefix.rstrip('.') or 'the file'} is {values!r}, not an object")
    types = _field_types(config_type)
    for name, value in values.items():
        flag = prefix + name.replace("_", "-")
        if name not in types:
            raise InputError(f"unknown setting {prefix}{name}; {near_names(name, types)}")
        if dataclasses.is_dataclass(types[name]):
            yield from _as_arguments(typing.cast(type, types[name]), value, f"{flag}.")
        elif isinstance(value, str):
            yield f"--{flag}={value}"  # tied, since it may be empty or begin with a dash
        else:
            yield f"--{flag}"
            yield from _words(value)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{name}={item}" for name, item in value.items())
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    else:
        yield str(value)


_TYPES = ConstructorRegistry()


@_TYPES.primitive_rule
def _dict_of_pairs(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """``NAME=VALUE ...`` for any dict; tyro alone allows only the names of a default to be set."""
    if info.type_origin is not dict:
        return None
    _, kind = typing.get_args(info.type)
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, set()))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None

    metavar = f"NAME={spec.metavar}"

    def from_words(words: list[str]) -> dict[str, Any]:
        pairs = {}
        for word in words:
            try:
                name, value = word.split("=", 1)
                pairs[name] = spec.instance_from_str([value])
            except ValueError as error:
                raise ValueError(f"{word!r} is not {metavar}") from error
        return pairs

    def to_words(pairs: dict[str, Any]) -> list[str]:
        return [f"{name}={spec.str_from_instance(value)[0]}" for name, value in pairs.items()]

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[{metavar} ...]",
        instance_from_str=from_words,
        is_instance=lambda instance: isinstance(instance, dict),
        str_from_instance=to_words,
    )


@_TYPES.primitive_rule
def _number_or_array(
    info: PrimitiveTypeInfo,
) -> PrimitiveConstructorSpec | UnsupportedTypeAnnotationError | None:
    """A number that may be traced, ``float | Array``, is a number on a command line."""
    members = typing.get_args(info.type)
    others = tuple(member for member in members if not _is_array_type(member))
    if len(others) in (0, len(members)):
        return None
    union = functools.reduce(operator.or_, others)
    return ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(union, info.markers))


def _is_array_type(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, jax.Array | jaxtyping.AbstractArray)


def _program(module: Any) -> str:
    """How the program was called: ``python -m experiments.NAME``."""
    spec = getattr(module, "__spec__", None)
    return f"python -m {spec.name}" if spec else Path(sys.argv[0]).name


def _description(module: Any, config_type: type) -> str:
    config_help = _CONFIG_HELP if _is_of_runs(config_type) else ""
    return f"{module.__doc__ or ''}\n\n{config_help}".strip()
