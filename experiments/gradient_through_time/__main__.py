"""The program: ``python -m experiments.gradient_through_time``."""

from experiments.gradient_through_time import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
