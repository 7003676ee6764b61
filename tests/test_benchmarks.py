"""What the benchmarks share: wrong flags, processes that take turns, ratios of times."""

import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.benchmarks import (
    example_gradients,
    mnist_cnn,
    recurrent,
    sweep,
    turns,
    workers,
)
from jaxdl import cli
from jaxdl.errors import InputError

WORKER = """
import json, sys
print(json.dumps({"first_step_s": 0.5}), flush=True)
for block, _ in enumerate(sys.stdin, start=1):
    print(json.dumps({"ms_per_step": block * float(sys.argv[1])}), flush=True)
print(json.dumps({"peak_mb": 7}), flush=True)
"""
ENDS_EARLY = "print('{}')"


@pytest.fixture
def processes(monkeypatch):
    """Those that were started."""
    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return started


def worker(program, *arguments):
    return (sys.executable, "-c", program, *arguments)


def test_workers_take_turns(processes):
    commands = {"one": worker(WORKER, 2), "other": worker(WORKER, 3)}
    times, told = workers.run_in_turns(commands, 3)
    assert times == {"one": [2, 4, 6], "other": [3, 6, 9]}
    assert told["one"] == told["other"] == {"first_step_s": 0.5, "peak_mb": 7}
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.parametrize(
    "programs",
    [
        {"good": WORKER, "bad": ""},
        {"bad": ENDS_EARLY, "good": WORKER},  # it has ended before it is told to go
    ],
)
def test_workers_end_where_one_fails(programs, processes, capfd):
    commands = {name: worker(program, 1) for name, program in programs.items()}
    with pytest.raises(InputError, match="the process for bad ended early"):
        workers.run_in_turns(commands, 2)
    assert [process.poll() is not None for process in processes] == [True, True]
    assert capfd.readouterr().err == ""  # nothing of a broken pipe


def test_spread_and_ratios():
    assert turns.spread([3.0, 1.0, 2.5], "ms") == {"median_ms": 2.5, "min_ms": 1, "max_ms": 3}
    expected = {"ratio": 1.0, "pairs_median": 1.0, "pairs_min": 0.5, "pairs_max": 2.0}
    assert turns.ratios([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]) == expected


BAD = [
    (sweep, "--blocks 0", "give 1 or more"),
    (sweep, "--runs 0", "give 1 or more"),
    (example_gradients, "--batch-size 0", "give 1 or more"),
    (example_gradients, "--peer-python /nonexistent", "the Python that has the peer"),
    (mnist_cnn, "--steps 0", "give 1 or more"),
    (mnist_cnn, "--peer-python /nonexistent", "the Python that has the peer"),
    (recurrent, "--text-steps 0", "give 1 or more"),
    (recurrent, "--works row_rnn", "choose from row_lstm, row_gru, char_lm"),
    (recurrent, "--peers Caffe", "choose from PyTorch, Keras"),
    (recurrent, "--peer-python /nonexistent", "the Python that has the peer"),
]


@pytest.mark.parametrize(("benchmark", "flags", "way_out"), BAD)
def test_bad_input(benchmark, flags, way_out, processes, capsys):
    """Refused in one line before any process has started."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(benchmark.run, benchmark.Config, flags.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert leaving.value.code == 2
    assert flags in line
    assert way_out in line
    assert processes == []


@pytest.fixture
def small(monkeypatch):
    """The works of `recurrent`, small."""
    sizes = {"length": 5, "units": 6, "layers": 1, "batch": 4}
    tasks = {
        name: task._replace(work=task.work._replace(**sizes))
        for name, task in recurrent.TASKS.items()
    }
    monkeypatch.setattr(recurrent, "TASKS", tasks)


def told_of(work, flags, capsys):
    flags = f"--works {work} --blocks 1 --steps 2 --text-steps 2 --output json {flags}"
    cli.main(recurrent.run, recurrent.Config, flags.split())
    return json.loads(capsys.readouterr().out)


def test_recurrent_steps_beside_flax(small, capsys):
    result = told_of("row_gru", "--peers Flax", capsys)
    found = result["works"]["row_gru"]
    ours, theirs = found["results"]["ours"], found["results"]["Flax"]
    assert ours["parameters"] == theirs["parameters"]
    assert ours["median_ms"] > 0
    assert [ours["first_loss"], theirs["first_loss"]] == pytest.approx([2.303] * 2, abs=0.4)
    assert found["claim"]["to"] == "Flax"
    assert result["left_out"] == []
    assert "ours / Flax" in recurrent.comparison_text(result)


def test_recurrent_steps_of_text(small, capsys):
    result = told_of("char_lm", "--peers", capsys)
    found = result["works"]["char_lm"]
    assert found["results"]["ours"]["first_loss"] == pytest.approx(np.log(65), abs=0.1)
    assert "claim" not in found


def test_recurrent_growth_without_a_peer(monkeypatch, capsys):
    def measured(work, config, peers):
        return {}, {"ours": {"median_ms": 3.0 * work.layers**2}}

    monkeypatch.setattr(recurrent, "measured", measured)
    monkeypatch.setattr(recurrent, "GROWTH", {"layers": (1, 2)})
    monkeypatch.setattr(recurrent, "has_modules", lambda peer, python: False)
    cli.main(recurrent.run, recurrent.Config, ["--growth", "--peers", "Keras"])
    *table, left_out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in table[2:]] == [
        ["layers", "1", "3.00"],
        ["layers", "2", "12.00"],
        ["layers", "to", "the", "2.00"],
    ]
    assert left_out.startswith("left out: Keras;")
    assert left_out.endswith("lacks keras or tensorflow")


def test_peer_that_is_not_installed():
    assert not workers.has_modules(sys.executable, ("json", "no_such_module"))
    assert workers.has_modules(sys.executable, ("json", "csv"))
    assert workers.has_modules(sys.executable, ())


def test_recurrent_examples_are_half_told():
    random = np.random.default_rng(0)
    tokens, following = recurrent.text(random, 200, 30)
    assert (tokens[:, 1:] == following[:, :-1]).all()
    likely = [np.bincount(following[tokens == token]).max() for token in range(65)]
    share = sum(likely) / following.size
    assert share == pytest.approx(0.5 + 0.5 / 65, abs=0.02)
