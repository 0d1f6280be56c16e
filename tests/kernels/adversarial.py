"""Buffers that catch a kernel which reads or writes where it must not, and columns made of them."""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.layout import U8, Spans, Text

_LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
_NO_ACCESS = 0


def at_page_edge(data: bytes) -> U8:
    """`data` in memory that ends where the next page may not be touched: one byte too far is a crash."""
    page = mmap.PAGESIZE
    pages = -(-len(data) // page) + 1
    area = mmap.mmap(-1, (pages + 1) * page)
    whole = np.frombuffer(area, np.uint8)
    guard = whole.ctypes.data + pages * page
    if _LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), _NO_ACCESS) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    end = pages * page
    inside = whole[end - len(data) : end]
    inside[:] = np.frombuffer(data, np.uint8)
    return inside


def column_of(values: Sequence[tuple[int, bytes]], before: bytes = b"", between: bytes = b"") -> Spans:
    """(kind, bytes) pairs as a column whose buffer ends at a page edge, right after the last value."""
    data = before + between.join(value for _, value in values)
    length = np.array([len(value) for _, value in values], np.int64)
    start = np.zeros(len(values), np.int64)
    start[1:] = np.cumsum(length + len(between))[:-1]
    start += len(before)
    kind = np.array([kind for kind, _ in values], np.uint8)
    start[kind < 2] = 0
    length[kind < 2] = 0
    return Spans(at_page_edge(data), start, length, kind)


def edge_text(rows: Sequence[bytes]) -> Text:
    """Rows as a Text without any padding: its data ends at a page edge."""
    offsets = np.zeros(len(rows) + 1, np.int64)
    offsets[1:] = np.cumsum([len(row) for row in rows])
    return Text(at_page_edge(b"".join(rows)), offsets)


def rows_of(text: Text) -> list[bytes]:
    return [text.row(i) for i in range(len(text))]


def run_checked(test_file: str) -> None:
    """Run a test file again with every byte access of the kernels compared with its buffer."""
    run_again(test_file, "not checked and not apart", FORGE_CHECKED_KERNELS="1")


def run_again(test_file: str, chosen: str, **variables: str) -> None:
    """Run some tests of a file in a process with some variables."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-k",
        chosen,
        test_file,
    ]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
