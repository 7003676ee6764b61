"""The program: ``python -m experiments.dp_sgd``."""

from experiments.dp_sgd import QUICK, RECIPES, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, recipes=RECIPES, quick=QUICK)
