"""The program: ``python -m experiments.vanishing_gradients``."""

from experiments.vanishing_gradients import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
