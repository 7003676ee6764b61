"""The program: ``python -m experiments.super_resolution``."""

from experiments.super_resolution import QUICK, RECIPES, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, recipes=RECIPES, quick=QUICK)
