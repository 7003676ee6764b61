"""`python -m experiments`: what it lists, and a run of a folder of experiments made up here."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[1] / "experiments"

GOOD = '''"""Claims what is true.

More about it.
"""

import json, sys
from pathlib import Path

QUICK: int = 1
CLAIM = {"statement": "two and two are four", "holds": HOLDS, "numbers": "4, expected 4"}

if __name__ == "__main__":
    out = Path(sys.argv[sys.argv.index("--out") + 1])
    out.mkdir()
    made = {"command": "python -m experiments.NAME", "seconds_total": 1.0, "device": "cpu",
            "cpu_count": 2, "finished": "2026-01-31", "git_commit": None, "git_changes": None}
    summary = {"claims": [CLAIM], "given": sys.argv[1:], **made}
    (out / "summary.json").write_text(json.dumps(summary))
    print("printed")
    sys.exit(CODE)
'''
BROKEN = '''"""Breaks."""

QUICK = None
raise RuntimeError("broken on import")
'''
WAITS = GOOD.replace(
    "    out.mkdir()",
    """    out.mkdir()
    import time
    while not all((out.parent / name).exists() for name in OTHERS):
        time.sleep(0.01)""",
)
"""Ends when all others have begun."""
TOOL = '''"""A tool."""

from jaxdl import cli

if __name__ == "__main__":
    cli.main(print, dict)
'''


def experiment(*, holds: bool = True, code: int = 0) -> str:
    return GOOD.replace("HOLDS", str(holds)).replace("CODE", str(code))


def made_up(folder: Path, **files: str) -> Path:
    """A checkout whose experiments are the given ones."""
    package = folder / "experiments"
    (package / "benchmarks").mkdir(parents=True)
    shutil.copy(REAL / "__main__.py", package)
    shutil.copytree(REAL / "gallery", package / "gallery")
    (package / "__init__.py").write_text('"""Experiments."""\n')
    (package / "benchmarks" / "__init__.py").write_text('"""Benchmarks."""\n')
    (package / "benchmarks" / "speed.py").write_text(TOOL.replace("A tool", "A benchmark"))
    (package / "benchmarks" / "speed_worker.py").write_text('"""A worker."""\n')
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return folder


def add_package(checkout: Path, name: str, program: str) -> None:
    """An experiment in several files."""
    package = checkout / "experiments" / name
    package.mkdir()
    (package / "__init__.py").write_text('"""Has parts."""\n\nQUICK = 1\n')
    (package / "part.py").write_text('"""A part."""\n')
    (package / "__main__.py").write_text(program)


def call(checkout: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_listing_imports_nothing(tmp_path):
    checkout = made_up(tmp_path, good=experiment(), broken=BROKEN, tool=TOOL)
    add_package(checkout, "folder", BROKEN)
    process = call(checkout)
    assert process.returncode == 0, process.stderr
    assert [" ".join(line.split()) for line in process.stdout.splitlines()] == [
        "experiments, python -m experiments.NAME",
        "broken Breaks.",
        "folder Has parts.",
        "good Claims what is true.",
        "",
        "tools, python -m experiments.NAME",
        "tool A tool.",
        "",
        "benchmarks, python -m experiments.benchmarks.NAME",
        "speed A benchmark.",
        "",
        "all experiments, python -m experiments all [--quick] [--out DIR]",
        "a page of them, python -m experiments gallery [DIR] [--out PAGE]",
    ]


def test_the_real_ones_are_listed():
    process = call(REAL.parent)
    experiments, tools, benchmarks, _ = process.stdout.split("\n\n")
    assert "    mnist_cnn " in experiments
    assert "    gradient_descent " in experiments
    assert "    predict " in tools
    assert "    mnist_cnn " in benchmarks
    assert "mnist_cnn_jax" not in benchmarks
    assert all(len(line) <= 130 for line in process.stdout.splitlines())


def test_all_hold(tmp_path):
    checkout = made_up(tmp_path, a=experiment())
    add_package(checkout, "b", experiment())
    process = call(checkout, "all", "--out", "here")
    assert process.returncode == 0, process.stderr
    told = re.sub(r"\d+ s\b", "N s", process.stdout)
    assert told.startswith("[1/2] a: 1 of 1 claims hold, N s\n[2/2] b: ")
    assert "\na  holds          two and two are four: 4, expected 4\nb  holds " in told
    assert "\n2 of 2 claims hold, 0 of 2 experiments failed, N s; here\n" in told
    given = json.loads((tmp_path / "here" / "a" / "summary.json").read_text())["given"]
    assert given == ["--out", "here/a", "--quiet"]
    assert (tmp_path / "here" / "a.txt").read_text() == "printed\n"


def test_one_that_fails_stops_no_other(tmp_path):
    """A claim that does not hold, a crash, and an exit code that no claim explains."""
    checkout = made_up(
        tmp_path,
        broken=BROKEN,
        false=experiment(holds=False, code=1),
        odd=experiment(code=1),
        right=experiment(),
    )
    process = call(checkout, "all", "--quick")
    assert process.returncode == 1
    assert "[1/4] broken: exit code 1: RuntimeError: broken on import, " in process.stdout
    table = process.stdout.split("\n\n")[1].splitlines()
    assert table == [
        "broken  failed         exit code 1: RuntimeError: broken on import",
        "false   does not hold  two and two are four: 4, expected 4",
        "odd     holds          two and two are four: 4, expected 4",
        "odd     failed         exit code 1: printed",
        "right   holds          two and two are four: 4, expected 4",
    ]
    assert "2 of 3 claims hold, 2 of 4 experiments failed" in process.stdout
    (out,) = (tmp_path / "runs" / "all").iterdir()
    given = json.loads((out / "right" / "summary.json").read_text())["given"]
    assert given[-1] == "--quick"
    assert [path.stem for path in sorted(out.glob("*.failed"))] == ["broken", "odd"]


def waiting(*others: str) -> str:
    return WAITS.replace("HOLDS", "True").replace("CODE", "0").replace("OTHERS", repr(others))


def test_two_at_once(tmp_path):
    """Each waits for the other to begin; they are told of in order."""
    checkout = made_up(tmp_path, a=waiting("b"), b=waiting("a"))
    process = call(checkout, "all", "--jobs", "2")
    assert process.returncode == 0, process.stderr
    assert "\na  holds  " in process.stdout
    assert process.stdout.index("\na  holds") < process.stdout.index("\nb  holds")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are not told here")
def test_two_at_once_have_cores_of_their_own(tmp_path):
    """Both wait, so that neither worker does both."""
    said = "print(*sorted(os.sched_getaffinity(0)))"
    programs = {
        name: waiting(other)
        .replace('print("printed")', said)
        .replace("import json", "import os, json")
        for name, other in (("a", "b"), ("b", "a"))
    }
    checkout = made_up(tmp_path, **programs)
    assert call(checkout, "all", "--jobs", "2", "--out", "here").returncode == 0
    of_a, of_b = ({*(tmp_path / "here" / f"{name}.txt").read_text().split()} for name in "ab")
    cores = {str(core) for core in os.sched_getaffinity(0)}
    assert of_a | of_b == cores
    assert of_a == of_b if len(cores) == 1 else not of_a & of_b


def test_what_runs_ends_with_it(tmp_path):
    checkout = made_up(tmp_path, a=waiting("never"), b=waiting("never"), c=experiment())
    command = [sys.executable, "-m", "experiments", "all", "--jobs", "2", "--out", "here"]
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True)
    here = tmp_path / "here"
    until(lambda: all((here / name).exists() for name in "ab"))
    process.terminate()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    told, _ = process.communicate()
    assert told == ""
    assert not (here / "c").exists()
    until(lambda: not running(f"{here.name}/a") and not running(f"{here.name}/b"))


def until(happened) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def running(word: str) -> bool:
    """Whether a process has this word in its command."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return any(word in line.split() for line in found.stdout.splitlines())


def test_the_gallery_shows_what_all_found(tmp_path):
    """Of the newest runs, without a flag; nothing is run again."""
    checkout = made_up(
        tmp_path, broken=BROKEN, false=experiment(holds=False, code=1), odd=experiment(code=1)
    )
    (tmp_path / "runs" / "all" / "2020-01-01_00-00-00").mkdir(parents=True)
    assert call(checkout, "all").returncode == 1
    _, newest = sorted((tmp_path / "runs" / "all").iterdir())
    add_package(checkout, "later", experiment())
    process = call(checkout, "gallery")
    assert (process.returncode, process.stderr) == (0, "")
    page = newest / "gallery" / "index.html"
    told = "1 of 2 claims hold, 1 of 4 experiments ended well"
    assert process.stdout == f"{told}; {page.relative_to(tmp_path)}\n"
    text = page.read_text()
    assert told in text
    assert 'broken</a> <span class="bad">failed, exit code 1: RuntimeError: broken on' in text
    assert 'false</a> <span class="bad">0 of 1 claims hold' in text
    assert 'later</a> <span class="bad">not run' in text
    assert 'odd</a> <span class="bad">failed, exit code 1: printed' in text
    assert (newest / "gallery" / "gallery.png").exists()
    again = call(checkout, "gallery", str(newest))
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert call(checkout, "gallery", str(newest), "--out", "elsewhere").returncode == 0
    assert (tmp_path / "elsewhere" / "index.html").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["al"], "al"),
        (["--quick"], "all"),
        (["all", "--quik"], "--quik"),
        (["all", "--out"], "--out"),
        (["all", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["all", "--out", "experiments"], "not empty"),
        (["all", "here"], "here"),
        (["all", "--jobs", "0"], "--jobs 0"),
        (["all", "--jobs", "many"], "many"),
        (["good"], "python -m experiments.good"),
        (["gallery"], "runs/all holds no runs"),
        (["gallery", "nowhere"], "nowhere holds no runs"),
        (["gallery", "experiments"], "experiments holds no runs"),
        (["gallery", "--quick"], "--quick"),
    ],
)
def test_bad_flags(tmp_path, arguments, named):
    checkout = made_up(tmp_path, good=experiment())
    add_package(checkout, "folder", experiment())
    process = call(checkout, *arguments)
    assert process.returncode == 2
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    assert named in line
