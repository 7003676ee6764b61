"""The program: ``python -m experiments.text_classification``."""

from experiments.text_classification import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
