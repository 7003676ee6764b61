"""The program: ``python -m experiments.learning_rate``."""

from experiments.learning_rate import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
