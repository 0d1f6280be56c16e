"""Contenders for the tests of the harness: they need nothing but the standard library."""

import time
from itertools import count
from pathlib import Path

from benchmarks.work import facts, output_paths

VERSIONS = {"nothing": "1.0"}


def echo(input, text="well", folder=None):
    print("libraries print things")
    return lambda: {"text": text}


def nap(input, seconds):
    return lambda: time.sleep(seconds)


def burn(input, seconds):
    def work():
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return work


def add_up(input, numbers):
    return lambda: sum(range(numbers))


def hold(input, size):
    def work():
        held = bytearray(size)
        held[::4096] = b"x" * len(held[::4096])
        return lambda: len(held)

    return work


def fail(input, folder=None):
    def work():
        raise ValueError("no such luck")

    return work


def vanish(input):
    import os

    return lambda: os._exit(3)


def upper(input, lose=0):
    """The lines in capitals, without the first `lose`."""
    with open(input) as file:
        lines = [line.strip().upper() for line in file]
    return lambda: facts(lines[lose:])


def write(input, folder):
    train, _ = output_paths(folder)

    def work():
        with open(train, "w") as file:
            file.write("written\n")

    return work


def write_anew(input, folder):
    """Writes, and takes offence at what an earlier run left where a run is measured: every second one."""
    train, _ = output_paths(folder)
    runs = count()

    def work():
        measured = next(runs) % 2 == 0
        if measured and Path(train).exists():
            raise FileExistsError(train)
        Path(train).write_text("written\n")

    return work


def start(input, argv):
    from benchmarks.command import spawn

    return lambda: spawn(argv)
