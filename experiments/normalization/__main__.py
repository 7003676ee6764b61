"""The program: ``python -m experiments.normalization``."""

from experiments.normalization import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
