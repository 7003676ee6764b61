"""Command lines: what is parsed, what is refused and how, config files, devices, signals, pipes."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Literal

import jax
import pytest
from jaxtyping import Array, Float

from jaxdl import cli
from jaxdl.errors import InputError
from jaxdl.runs import ExperimentOptions, ResumableOptions, resolved_config
from jaxdl.signals import Interrupted, stop_on_signals


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A nested config."""

    name: str = "adadelta"
    """Any of Optax's."""
    learning_rate: float = 1.0
    """Step size."""
    decay: float | Float[Array, ""] = 0.0
    """A number that may be traced."""
    max_norm: float | Array | None = None
    """Largest norm."""
    options: dict[str, float] = dataclasses.field(default_factory=lambda: {"rho": 0.95})
    """Its own arguments."""

    def __post_init__(self):
        if not self.learning_rate > 0:
            raise InputError(f"learning rate {self.learning_rate}\nchoose more than 0")


@dataclasses.dataclass(frozen=True)
class Config(ResumableOptions):
    """What an experiment is told."""

    recipe: Literal["seed", "strong"] = "seed"
    """Which settings."""
    epochs: int = 12
    """Passes over the data."""
    sizes: tuple[int, ...] = (300, 100)
    """Of the layers."""
    shuffle: bool = True
    """Another order each epoch."""
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    """Whatever helps to find it."""
    average: bool | None = None
    """Unset by default."""
    bounds: tuple[float, float] | None = None
    """Lower and upper."""
    label: str = "none"
    """Of the run."""
    data_dir: Path | None = None
    """Of prepared data."""
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    """How parameters move."""

    def __post_init__(self):
        if self.epochs < 0:
            raise InputError(f"{self.epochs} epochs; choose 0 or more")


def parse(line: str) -> Config:
    return cli.parse(Config, line.split())


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("", {}),
        ("--epochs 3", {"epochs": 3}),
        ("--epochs 3 --epochs 4", {"epochs": 4}),
        ("--recipe strong", {"recipe": "strong"}),
        ("--sizes 5 6 7", {"sizes": (5, 6, 7)}),
        ("--sizes", {"sizes": ()}),
        ("--no-shuffle --resume", {"shuffle": False, "resume": True}),
        ("--average False", {"average": False}),
        ("--bounds -1 2e-3", {"bounds": (-1.0, 0.002)}),
        ("--data-dir a/b --quiet", {"data_dir": Path("a/b"), "quiet": True}),
        ("--data_dir a", {"data_dir": Path("a")}),
    ],
)
def test_flags_set_fields(line, changed):
    assert parse(line) == dataclasses.replace(Config(), **changed)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("--optimizer.learning-rate 0.3", {"learning_rate": 0.3}),
        ("--optimizer.learning-rate inf", {"learning_rate": math.inf}),
        ("--optimizer.decay 1e-3", {"decay": 1e-3}),
        ("--optimizer.max-norm 1", {"max_norm": 1.0}),
        ("--optimizer.max-norm None", {"max_norm": None}),
        ("--optimizer.options b1=-0.5 b2=1e-3", {"options": {"b1": -0.5, "b2": 0.001}}),
        ("--optimizer.options", {"options": {}}),
    ],
)
def test_nested_flags_have_a_prefix_and_dicts_take_pairs(line, changed):
    assert parse(line).optimizer == dataclasses.replace(Optimizer(), **changed)


@pytest.mark.parametrize(
    ("line", "needles"),
    [
        ("--epochs x", ["--epochs", "'x'", "INT", "12", "Passes over the data"]),
        ("--epochs 3.5", ["--epochs: '3.5' is no whole number"]),
        ("--epochs nan", ["--epochs", "'nan'"]),
        ("--epochs", ["--epochs"]),
        (
            "--optimizer.learning-rate 1,5",
            ["--optimizer.learning-rate: '1,5' is no number", "FLOAT"],
        ),
        ("--optimizer.decay x", ["--optimizer.decay", "'x'", "FLOAT"]),
        ("--recipe sed", ["--recipe", "'sed'", "'seed', 'strong'"]),
        ("--optimizer.options rho", ["--optimizer.options", "'rho' is not NAME=FLOAT"]),
        ("--optimizer.options rho=x", ["--optimizer.options", "'rho=x' is not NAME=FLOAT"]),
        ("--tags a", ["'a' is not NAME=STR"]),
        ("--sizes 3 x", ["--sizes: cannot read '3', 'x'"]),
        ("--epoch 3", ["--epoch;", "did you mean --epochs?"]),
        ("--lerning-rate 3", ["--lerning-rate", "did you mean --optimizer.learning-rate?"]),
        ("--optimizer.options.rho 1", ["did you mean --optimizer.options?"]),
        ("--confg x", ["did you mean --config?"]),
        ("--optimizer.lr 1", ["unknown flag --optimizer.lr; see --help"]),
        ("--optimizer.max-norm x", ["--optimizer.max-norm", "{None}|FLOAT", "['x'].\n"]),
        ("--zzzzzz=1", ["--zzzzzz", "--help"]),
        ("seed", ["'seed'", "--help"]),
        ("--resume=yes", ["yes"]),
        ("--config", ["--config", "expected one argument"]),
        ("--epochs -3", ["-3 epochs; choose 0 or more"]),
        ("--optimizer.learning-rate -1", ["learning rate -1.0\nchoose more than 0"]),
    ],
)
def test_a_bad_command_line_is_three_lines_and_code_2(line, needles, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda config: pytest.fail("it ran"), Config, line.split())
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") <= 3
    assert not any(mark in err for mark in "│─╭\x1b")
    assert [needle for needle in needles if needle not in err] == []


def test_tyros_boxes_without_unicode_and_with_colours_are_read_as_well():
    box = """ Value error
 ---------------
  \x1b[1mError parsing --epochs:\x1b[0m
  not a number
  ---------------
  For full helptext, see --help

"""
    assert cli._text_of(box) == "--epochs: not a number\nFor full helptext, see --help"


def test_help_shows_every_flag_with_meaning_and_default(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda config: None, Config, ["--help"])
    out, _ = capsys.readouterr()
    assert stop.value.code == 0
    text = " ".join(out.replace("│", " ").split())
    assert "Command lines: what is parsed" in text  # the module's docstring
    for part in (
        "--config FILE",
        "--epochs INT Passes over the data. (default: 12)",
        "--shuffle, --no-shuffle Another order each epoch. (default: True)",
        "--optimizer.learning-rate FLOAT Step size. (default: 1.0)",
        "--optimizer.options [NAME=FLOAT ...] Its own arguments. (default: rho=0.95)",
        "--out {None}|PATH Run directory; by default a new one, runs/NAME/TIME. (default: None)",
    ):
        assert part in text


@dataclasses.dataclass(frozen=True)
class NoRun:
    """What a program is told that trains nothing."""

    seed: int = 1
    """Of whatever."""


def test_only_a_config_of_runs_has_the_flag_config(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(lambda config: None, NoRun, ["--help"])
    assert "--config" not in capsys.readouterr().out
    path = dump(tmp_path, {"seed": 2})
    with pytest.raises(InputError, match="unknown flag --config; see --help"):
        cli.parse(NoRun, ["--config", str(path)])
    with pytest.raises(InputError, match="unknown flag --confg; see --help"):
        cli.parse(NoRun, ["--confg", str(path)])


# --- config files --------------------------------------------------------------------------------


def dump(folder: Path, values) -> Path:
    path = folder / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


CONFIGS = [
    Config(),
    Config(recipe="strong", epochs=3, sizes=(), shuffle=False, average=True),
    Config(bounds=(-math.inf, 1e-9), data_dir=Path("-odd name/x=y"), sizes=(1,)),
    Config(label="", tags={"a": "", "b": "-1=2"}),
    Config(label="--resume"),
    Config(optimizer=Optimizer("sgd", 0.1 + 0.2, 1.5, 1.0, {})),
    Config(optimizer=Optimizer("adam", options={"b1": 0.5, "eps": 1e-30})),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_dumped_config_comes_back(config, tmp_path):
    path = dump(tmp_path, resolved_config(config))
    assert cli.load_config(Config, path) == config
    assert cli.load_config(Config, tmp_path) == config
    assert cli.parse(Config, ["--config", str(path)]) == config


def test_flags_override_a_config_file_and_options_of_the_run_are_not_in_it(tmp_path):
    config = Config(epochs=3, quiet=True, out=tmp_path, optimizer=Optimizer(learning_rate=0.5))
    path = dump(tmp_path, resolved_config(config))
    line = f"--optimizer.options b1=2 --config={path} --epochs 5"
    expected = Config(epochs=5, optimizer=Optimizer(learning_rate=0.5, options={"b1": 2.0}))
    assert parse(line) == expected


def test_a_setting_that_is_missing_in_the_file_has_its_default(tmp_path):
    assert cli.load_config(Config, dump(tmp_path, {"epochs": 1})) == Config(epochs=1)


@pytest.mark.parametrize(
    ("values", "needle"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ({"epoch": 1}, "unknown setting epoch; did you mean epochs?"),
        ({"optimizer": {"nme": "x"}}, "unknown setting optimizer.nme; did you mean name?"),
        ({"optimizer": 3}, "optimizer is 3, not an object"),
        ({"epochs": "many"}, "'many'"),
        ({"epochs": None}, "--epochs"),
        ({"sizes": [1.5]}, "--sizes"),
        ({"recipe": "x"}, "'seed', 'strong'"),
        ({"epochs": -1}, "-1 epochs"),
        (b"\xff\xfe".decode("latin1"), "not JSON"),
    ],
)
def test_a_bad_config_file_is_named(values, needle, tmp_path):
    path = dump(tmp_path, values)
    with pytest.raises(InputError, match=r"config\.json") as caught:
        cli.load_config(Config, path)
    assert needle in str(caught.value)
    assert str(caught.value).count("\n") < 3


def test_a_missing_config_file_is_named_by_who_asked_for_it(tmp_path):
    path = tmp_path / "none.json"
    with pytest.raises(InputError, match=f"^--config {path}: No such file"):
        parse(f"--config {path}")
    with pytest.raises(InputError, match=f"^run {path}: No such file"):
        cli.load_config(Config, path)


# --- recipes -------------------------------------------------------------------------------------

RECIPES = {"seed": Config(), "strong": Config(recipe="strong", epochs=30, label="best")}


def test_a_recipe_is_the_default_of_the_other_flags(capsys):
    strong = cli.parse(Config, ["--label", "mine", "--recipe", "strong"], RECIPES)
    assert strong == dataclasses.replace(RECIPES["strong"], label="mine")
    assert cli.parse(Config, ["--recipe=seed"], RECIPES) == Config()
    assert cli.parse(Config, [], RECIPES) == Config()
    with pytest.raises(SystemExit):
        cli.main(lambda config: None, Config, ["--recipe", "strong", "--help"], recipes=RECIPES)
    assert "(default: 30)" in capsys.readouterr().out


def test_quick_is_the_default_of_the_other_flags():
    quick = QuickConfig(quick=True, epochs=1)
    parsed = cli.parse(QuickConfig, ["--seed", "3", "--quick"], quick=quick)
    assert parsed == QuickConfig(quick=True, epochs=1, seed=3)
    assert cli.parse(QuickConfig, [], quick=quick) == QuickConfig()


def test_quick_and_config_together_are_refused(tmp_path):
    arguments = ["--quick", "--config", str(tmp_path)]
    with pytest.raises(InputError, match="--config and --quick both give every default"):
        cli.parse(QuickConfig, arguments, quick=QuickConfig(quick=True))


@dataclasses.dataclass(frozen=True)
class QuickConfig(ExperimentOptions):
    """An experiment with a quick form."""

    epochs: int = 12
    """Passes."""
    seed: int = 0
    """Of everything."""


def test_a_recipe_comes_from_one_place(tmp_path):
    path = dump(tmp_path, resolved_config(RECIPES["strong"]))
    assert cli.parse(Config, ["--config", str(path)], RECIPES) == RECIPES["strong"]
    with pytest.raises(InputError, match="--config and --recipe"):
        cli.parse(Config, ["--config", str(path), "--recipe", "seed"], RECIPES)
    with pytest.raises(InputError, match="'seed', 'strong'"):
        cli.parse(Config, ["--recipe", "sed"], RECIPES)


# --- ways to end ---------------------------------------------------------------------------------


def end(error: BaseException, capsys) -> tuple[int, str]:
    def experiment(config):
        raise error

    with pytest.raises(SystemExit) as stop:
        cli.main(experiment, Config, [])
    return stop.value.code, capsys.readouterr().err


def test_the_experiment_gets_its_config(capsys):
    cli.main(lambda config: print(config.epochs), Config, ["--epochs", "7"])
    assert capsys.readouterr().out == "7\n"


def test_arguments_come_from_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", "--epochs", "8"])
    cli.main(lambda config: print(config.epochs), Config)
    assert capsys.readouterr().out == "8\n"


def test_errors_of_the_user_and_signals_end_in_a_line_and_a_code(capsys):
    assert end(InputError("a\nb\nc\nd"), capsys) == (2, "error: a\nb\nc\n")
    assert end(KeyboardInterrupt(), capsys) == (130, "interrupted\n")
    saved = Interrupted(signal.SIGTERM, "SIGTERM: saved")
    assert end(saved, capsys) == (143, "SIGTERM: saved\n")


def test_a_bug_keeps_its_traceback():
    def experiment(config):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        cli.main(experiment, Config, [])


def test_sigterm_outside_a_loop_leaves_with_143_and_the_old_handler_is_back(capsys):
    before = signal.getsignal(signal.SIGTERM)

    def experiment(config):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it went on")

    with pytest.raises(SystemExit) as stop:
        cli.main(experiment, Config, [])
    assert stop.value.code == 143
    assert capsys.readouterr().err == "terminated\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_a_loop_a_signal_is_a_flag_and_the_old_handlers_come_back(number):
    def loop():
        with stop_on_signals() as stop:
            assert not stop.requested
            stop.leave("nothing happened")
            os.kill(os.getpid(), number)
            assert stop.requested
            stop.leave("saved")

    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted, match=f"{number.name}: saved"):
        loop()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


PROGRAM = '''
    """A program."""
    import os, signal
    import jax
    from jaxdl import cli, signals
    from jaxdl.runs import RunOptions

    def run(config):
        if config.quiet:
            with signals.stop_on_signals() as stop:
                for signal_number in range(2):
                    os.kill(os.getpid(), signal.SIGINT)
                    print(stop.requested, flush=True)
        for line in range(100_000):
            print(line)

    if __name__ == "__main__":
        cli.main(run, RunOptions)
        jax.config.update("jax_num_cpu_devices", 3)  # refused once a backend has started
        print(jax.device_count("cpu"), "devices")
'''


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return [sys.executable, str(path)]


def test_a_second_sigint_kills_at_once(program):
    done = subprocess.run([*program, "--quiet"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "True\n", "")


@pytest.mark.parametrize(("flags", "lines"), [([], 1), (["--help"], 0)])
def test_a_broken_pipe_ends_without_a_word(flags, lines, program):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen([*program, *flags], **pipes, env=environment) as process:
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_no_backend_starts_by_itself(program):
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("3 devices\n")


# --- devices and compilations --------------------------------------------------------------------


def test_devices_are_those_that_are_there_once_jax_has_begun():
    there = len(jax.devices())
    assert cli.use_devices(1).size == 1
    assert cli.use_devices(there).size == there
    for count in (0, -1, there + 1, 10**12):
        with pytest.raises(InputError, match=f"{count} devices asked for, {there} there"):
            cli.use_devices(count)


def test_cpu_cores_become_devices():
    code = "from jaxdl.cli import use_devices; print(use_devices(3).size, use_devices(2).size)"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "3 2\n"
