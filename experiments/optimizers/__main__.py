"""The program: ``python -m experiments.optimizers``."""

from experiments.optimizers import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
