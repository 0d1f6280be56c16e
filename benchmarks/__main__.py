"""`python -m benchmarks`: Forge, its peers and the machine's floor, measured in one run."""

from benchmarks.cli import app

app(prog_name="python -m benchmarks")
