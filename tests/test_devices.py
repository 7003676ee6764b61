"""`--devices` of every experiment: a CPU is made into devices before JAX begins."""

import json
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from experiments.__main__ import experiments

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import itertools, json, sys
from dataclasses import replace
from importlib import import_module

import jax

from jaxdl import cli

class Asked(Exception):
    pass

def ask(count=None):
    jax.config.update("jax_num_cpu_devices", next(counts))  # refuses another once JAX has begun
    raise Asked

counts = itertools.count(2)
cli.use_devices = ask
late = []
for name in sys.argv[2:]:
    experiment = import_module(f"experiments.{name}")
    config = replace(experiment.QUICK, devices=2, out=f"{sys.argv[1]}/{name}", quiet=True)
    try:
        experiment.run(config)
    except Asked:
        pass
    except RuntimeError:
        late.append(name)
print(json.dumps(late))
"""


def with_devices() -> list[str]:
    """The experiments that can be given a number of devices."""
    quick = {
        name: import_module(f"experiments.{name}").QUICK
        for name in experiments(ROOT / "experiments")
    }
    return [name for name, of in quick.items() if "devices" in {field.name for field in fields(of)}]


def test_devices_are_made_before_anything_is_computed(tmp_path):
    names = with_devices()
    assert len(names) > 15
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
