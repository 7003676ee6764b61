"""The program: ``python -m experiments.mnist_gan``."""

from experiments.mnist_gan import QUICK, RECIPES, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, recipes=RECIPES, quick=QUICK)
