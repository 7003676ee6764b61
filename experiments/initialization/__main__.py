"""The program: ``python -m experiments.initialization``."""

from experiments.initialization import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
