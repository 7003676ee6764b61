"""All experiments: listed, run one after the other with a table of what they claim, or shown.

    python -m experiments                                the experiments, a line each
    python -m experiments all [--quick] [--out DIR]      runs them (--jobs 2: two at once)
    python -m experiments gallery [DIR] [--out PAGE]     makes a page of these runs

An experiment is a module or a package of this folder that defines ``QUICK``, the config of its
quick form. Each runs in a process of its own; its run directory is DIR/NAME, what it printed is
DIR/NAME.txt and what went wrong, if anything, DIR/NAME.failed, where DIR is runs/all/TIME by
default. Without --quick that takes hours; a quick form compiles more than it computes, on one core,
so that on a CPU of two cores two at once are soonest done. Those at once have cores of their own:
on shared ones XLA's threads wait for each other, at an eighth of the time. The exit code is 1 where
a claim does not hold or a process fails, 2 for what cannot be understood.

The gallery is of the newest runs, or of those in DIR. PAGE, DIR/gallery by default, is a folder
with index.html, the pictures, and gallery.png, which shows one of each experiment.
"""

import argparse
import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

HERE = Path(__file__).resolve().parent
ALL = Path("runs") / "all"


class Outcome(NamedTuple):
    """How an experiment ended.

    Attributes:
        name: of the experiment.
        seconds: that it took.
        claims: objects with ``statement``, ``holds`` and ``numbers``, from its ``summary.json``.
        failure: why it counts as failed whatever it claims; None where it ended as it should.
    """

    name: str
    seconds: float
    claims: list[dict[str, Any]]
    failure: str | None

    def is_good(self) -> bool:
        """Whether it ended and all that it claims holds."""
        return self.failure is None and all(claim["holds"] for claim in self.claims)

    def line(self) -> str:
        """It in short."""
        held = sum(claim["holds"] for claim in self.claims)
        end = self.failure or f"{held} of {len(self.claims)} claims hold"
        return f"{self.name}: {end}, {self.seconds:.0f} s"


def main(arguments: list[str] | None = None) -> None:
    """Lists the experiments, runs them or makes their gallery."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = Parser(prog="python -m experiments", description="Without a command: lists them.")
    commands = parser.add_subparsers(dest="command")
    running = commands.add_parser("all", help="run all experiments")
    running.add_argument("--quick", action="store_true", help="the versions of a few seconds")
    running.add_argument("--out", type=Path, help="folder for the runs; by default runs/all/TIME")
    running.add_argument(
        "--jobs", type=int, default=1, help="how many at once, of a CPU; by default 1"
    )
    showing = commands.add_parser("gallery", help="make a page of what they found")
    showing.add_argument("runs", nargs="?", type=Path, help="their folder; by default the newest")
    showing.add_argument("--out", type=Path, help="folder for the page; by default RUNS/gallery")
    first = words[0] if words else ""
    if first in modules(HERE) and first not in commands.choices:
        fail(f"run it as python -m experiments.{first} (--help tells its flags)")
    if first in ("--quick", "--out", "--jobs"):
        fail(f"{first} is for running: python -m experiments all ...")
    asked = parser.parse_args(words)
    if asked.command == "all":
        out = asked.out or ALL / time.strftime("%Y-%m-%d_%H-%M-%S")
        run_into(out, quick=asked.quick, jobs=asked.jobs)
    elif asked.command == "gallery":
        show(asked.runs or newest(ALL), asked.out)
    else:
        print(listing(HERE), flush=True)


def run_into(out: Path, *, quick: bool, jobs: int) -> None:
    """Runs all; exits with 1 where not all is well."""
    if jobs < 1:
        fail(f"--jobs {jobs}: give 1 or more")
    make_empty(out)
    # A process under way is ended together with this one.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    start = time.monotonic()
    outcomes = run_all(HERE, out, quick=quick, jobs=jobs)
    if not all_hold(outcomes, time.monotonic() - start, out):
        sys.exit(1)


def show(runs: Path, out: Path | None) -> None:
    """Makes the gallery of what ``runs`` holds."""
    from experiments import gallery  # here: what it needs would slow the listing

    docstrings = {name: docstring(path) for name, path in experiments(HERE).items()}
    ends = [runs / end for name in docstrings for end in (f"{name}/summary.json", f"{name}.failed")]
    if not any(map(Path.exists, ends)):
        fail(f"{runs} holds no runs; python -m experiments all --quick makes some")
    try:
        exhibits = gallery.collect(docstrings, runs)
        out = out or runs / "gallery"
        make_empty(out)
        gallery.write(exhibits, out)
    except (OSError, ValueError) as error:
        fail(f"no gallery of {runs}: {error}")
    print(f"{gallery.conclusion(exhibits)}; {out / gallery.PAGE}")


def newest(folder: Path) -> Path:
    """The newest of the folders in one, which are named by their times."""
    return max(filter(Path.is_dir, folder.glob("*")), default=folder)


def make_empty(out: Path) -> None:
    """Makes a folder, unless it is there and empty."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = any(out.iterdir())
    except OSError as error:
        fail(f"cannot write to {out}: {error.strerror}; choose another --out")
    if taken:
        fail(f"{out} is not empty; choose another --out")


def fail(message: str) -> NoReturn:
    """Says what is wrong in one line, as every experiment does, and exits with code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """One that fails so too."""

    def error(self, message: str) -> NoReturn:
        """Exits with code 2."""
        fail(message)


# --- what there is -------------------------------------------------------------------------------


def listing(folder: Path) -> str:
    """The experiments, the other programs and the benchmarks, each with its first line."""
    found, called = experiments(folder), programs(folder)
    sections = {
        "experiments, python -m experiments.NAME": found,
        "tools, python -m experiments.NAME": dict(sorted(called.items() - found.items())),
        "benchmarks, python -m experiments.benchmarks.NAME": programs(folder / "benchmarks"),
    }
    lines = []
    for title, files in sections.items():
        firsts = {name: docstring(path).partition("\n")[0] for name, path in files.items()}
        rows = (f"    {name:18} {line}" for name, line in firsts.items())
        lines += [title, *rows, ""]
    lines += ["all experiments, python -m experiments all [--quick] [--out DIR]"]
    return "\n".join([*lines, "a page of them, python -m experiments gallery [DIR] [--out PAGE]"])


def experiments(folder: Path) -> dict[str, Path]:
    """The modules and packages that define ``QUICK``, found without importing any."""
    return {name: path for name, path in modules(folder).items() if "QUICK" in assigned_names(path)}


def modules(folder: Path) -> dict[str, Path]:
    """The file of each module of a folder, and of each package in it, by name."""
    found = {path.stem: path for path in folder.glob("*.py") if not path.stem.startswith("__")}
    found |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    return dict(sorted(found.items()))


def assigned_names(path: Path) -> Iterator[str]:
    """What a module assigns to at its top level."""
    for node in ast.parse(path.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def programs(folder: Path) -> dict[str, Path]:
    """The modules that are programs for users: those that call ``cli.main``."""
    return {
        name: path for name, path in modules(folder).items() if "cli.main" in called_names(path)
    }


def called_names(path: Path) -> Iterator[str]:
    """What a module calls, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def docstring(path: Path) -> str:
    """That of a module; empty if it has none."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


# --- running it ----------------------------------------------------------------------------------


def run_all(folder: Path, out: Path, *, quick: bool, jobs: int) -> list[Outcome]:
    """Runs every experiment, so many at once, a line as each ends."""
    names = list(experiments(folder))
    processes: list[subprocess.Popen] = []
    shares = iter(core_shares(jobs))
    with ThreadPoolExecutor(jobs, initializer=lambda: stay_on(next(shares))) as pool:
        futures = [pool.submit(run_one, name, out, processes, quick=quick) for name in names]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                print(f"[{number}/{len(names)}] {future.result().line()}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            raise
    return [future.result() for future in futures]


def core_shares(jobs: int) -> list[set[int]]:
    """The cores of each of so many jobs; all of them, where there are fewer than jobs."""
    if not hasattr(os, "sched_getaffinity"):
        return [set()] * jobs
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[job::jobs] if jobs <= len(cores) else cores) for job in range(jobs)]


def stay_on(cores: set[int]) -> None:
    """Binds this thread, and the processes that it starts, to these cores; nothing if to none."""
    if cores:
        os.sched_setaffinity(0, cores)


def run_one(name: str, out: Path, processes: list[subprocess.Popen], *, quick: bool) -> Outcome:
    """Runs an experiment in a process of its own, added to those, and reads what it claims."""
    directory, log = out / name, out / f"{name}.txt"
    command = [sys.executable, "-m", f"experiments.{name}", "--out", str(directory), "--quiet"]
    command += ["--quick"] * quick
    start = time.monotonic()
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        processes.append(process)
        code = process.wait()
    seconds = time.monotonic() - start
    try:
        claims = json.loads((directory / "summary.json").read_text()).get("claims", [])
    except FileNotFoundError:
        claims = []
    # An experiment itself exits with 1 where a claim does not hold.
    expected = 0 if all(claim["holds"] for claim in claims) else 1
    if code == expected:
        return Outcome(name, seconds, claims, None)
    last_line = log.read_text().strip().rpartition("\n")[2]
    failure = f"exit code {code}: {last_line}"
    (out / f"{name}.failed").write_text(failure)  # the gallery shows it
    return Outcome(name, seconds, claims, failure)


def all_hold(outcomes: list[Outcome], seconds: float, out: Path) -> bool:
    """Prints the table of claims; whether all hold and every process ended well."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    print()
    for outcome in outcomes:
        for claim in outcome.claims:
            verdict = "holds" if claim["holds"] else "does not hold"
            print(f"{outcome.name:{width}}  {verdict:13}  {claim['statement']}: {claim['numbers']}")
        if outcome.failure:
            print(f"{outcome.name:{width}}  {'failed':13}  {outcome.failure}")
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    held, failed = sum(claim["holds"] for claim in claims), sum(bool(o.failure) for o in outcomes)
    print(
        f"\n{held} of {len(claims)} claims hold, {failed} of {len(outcomes)} experiments failed, "
        f"{seconds:.0f} s; {out}"
    )
    return all(outcome.is_good() for outcome in outcomes)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Nobody reads any more: let Python's last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
