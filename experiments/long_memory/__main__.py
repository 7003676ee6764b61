"""The program: ``python -m experiments.long_memory``."""

from experiments.long_memory import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
