"""The components that pairs make, and who is nearest to whom (see reference/union.py), a thread a pair.

A thread finds the roots of both rows, halving the way there, and makes the smaller one the parent of the
other by a compare-and-swap; where another thread was first, it goes on from what that one made. So a parent
is always smaller than its child, and in the end the root of a component is its smallest row, whatever the
order of threads. (Jaiganesh and Burtscher, "A high-performance connected components implementation for GPUs",
HPDC 2018.)

Bytes moved: 24 a pair and about ten sectors of 32, at random; 24 a row up and down. Expected: at a tenth of
the device's copy bandwidth 1 ns a pair, and for the arrays over the link 1 ns a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda.device import Device, function, kernel
from forge_gpu.kernels.cuda.memory import thread
from forge_gpu.kernels.layout import I64
from forge_gpu.kernels.reference.union import F64

UNNAMED = np.int64(2**62)
"""Larger than any row: of a row whose nearest is known, but not which."""


@function
def _root(parent, row):
    """The root of a row, as far as this thread sees; each step halves the way of those that come later."""
    above = parent[row]
    while above != row:
        next_above = parent[above]
        parent[row] = next_above
        row, above = above, next_above
    return row


@kernel
def unite(parent, pairs):
    """Join the components of each pair, in place. parent: int64[n]; pairs: int64[m, 2]."""
    p = thread()
    if p >= len(pairs):
        return
    a, b = _root(parent, pairs[p, 0]), _root(parent, pairs[p, 1])
    while a != b:
        if a < b:
            a, b = b, a
        before = cuda.atomic.cas(parent, a, a, b)
        if before == a:
            break
        a = _root(parent, before)


@kernel
def flatten(parent):
    """Make every row's parent its component's smallest row, in place."""
    row = thread()
    if row >= len(parent):
        return
    root = parent[row]
    while parent[root] != root:
        root = parent[root]
    parent[row] = root


@kernel
def raise_nearest(pairs, similarity, nearest):
    """nearest[row] = the largest similarity of a pair of the row, if that is more. similarity: int64[m],
    nearest: int64[n], the bits of numbers from 0 to 1, which are in their order."""
    p = thread()
    if p < len(pairs):
        cuda.atomic.max(nearest, pairs[p, 0], similarity[p])
        cuda.atomic.max(nearest, pairs[p, 1], similarity[p])


@kernel
def name_nearest(pairs, similarity, nearest, partner):
    """partner[row] = the smallest row that is as similar as the nearest one, if that is smaller."""
    p = thread()
    if p < len(pairs):
        a, b = pairs[p, 0], pairs[p, 1]
        if similarity[p] == nearest[a]:
            cuda.atomic.min(partner, a, b)
        if similarity[p] == nearest[b]:
            cuda.atomic.min(partner, b, a)


def united(
    parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64, device: Device
) -> tuple[Any, Any, Any]:
    """(parent, partner, nearest) once some pairs have come, on the device: as reference.unite, flatten and
    keep_nearest make them. Memory: 57 bytes a row and 24 a pair."""
    xp = device.xp
    there, roots = device.upload(pairs), xp.array(device.upload(parent))
    device.launch(unite, len(pairs), roots, there)
    device.launch(flatten, len(roots), roots)
    bits = device.upload(similarity.view(np.int64))
    before = device.upload(nearest.view(np.int64))
    most = xp.array(before)
    device.launch(raise_nearest, len(pairs), there, bits, most)
    partners = xp.where(most > before, UNNAMED, device.upload(partner))
    device.launch(name_nearest, len(pairs), there, bits, most, partners)
    return roots, partners, most.view(np.float64)
