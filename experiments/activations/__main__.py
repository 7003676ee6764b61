"""The program: ``python -m experiments.activations``."""

from experiments.activations import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
