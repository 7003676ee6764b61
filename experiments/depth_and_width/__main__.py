"""The program: ``python -m experiments.depth_and_width``."""

from experiments.depth_and_width import QUICK, Config, run
from jaxdl import cli

if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
