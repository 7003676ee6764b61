"""Runs the experiment."""

from experiments.char_lm import QUICK, RECIPES, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, recipes=RECIPES, quick=QUICK)
