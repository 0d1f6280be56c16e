"""Limits of control groups, version 1 and 2, at every level that this process can see.

A container may mount its own group as the root, so the path in /proc/self/cgroup need not exist below
/sys/fs/cgroup: every prefix of it that does exist is read, and the tightest limit counts.
Source: kernel documentation, admin-guide/cgroup-v1/memory.rst and admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

NO_LIMIT = 2**60
"""Version 1 writes a huge number (2^63 less a page) where there is no limit: anything above this is none."""


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group allows, or None."""
    return min(_memory_limits(root), default=None)


def memory_headroom(root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken before a limit is met; None without a limit.

    Page cache of files that are not in use is counted as free: the kernel drops it before it refuses.
    """
    rooms = []
    for folder in _groups(root, "memory"):
        limits = _limits_of(folder)
        usage = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        stat = _statistics(folder)
        cached = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        rooms += [max(0, limit - max(0, usage - cached)) for limit in limits]
    return min(rooms, default=None)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the tightest group allows, or None."""
    quotas = []
    for folder in _groups(root, "cpu"):
        text = _text(folder / "cpu.max")
        quota, period = text.split() if text and len(text.split()) == 2 else (None, None)
        if quota is None:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        amount, every = _parse(quota), _parse(period)
        if amount is not None and every is not None and amount > 0 and every > 0:
            quotas.append(amount / every)
    return min(quotas, default=None)


def _memory_limits(root: Path) -> list[int]:
    return [limit for folder in _groups(root, "memory") for limit in _limits_of(folder)]


def _limits_of(folder: Path) -> list[int]:
    result = [_number(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    result.append(_statistics(folder).get("hierarchical_memory_limit"))
    return [limit for limit in result if limit is not None and limit < NO_LIMIT]


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process' group and all its ancestors, for both versions."""
    base = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        _, controllers, path = parts
        if controllers == "":
            mounts = [base, base / "unified"]
        elif controller in controllers.split(","):
            mounts = [base / controllers, base / controller]
        else:
            continue
        mount = next((m for m in mounts if _is_mount(m, controllers)), None)
        if mount is None:
            continue
        names = [name for name in path.split("/") if name not in ("", ".", "..")]
        for depth in range(len(names), -1, -1):
            folder = mount.joinpath(*names[:depth])
            if folder.is_dir():
                yield folder


def _is_mount(folder: Path, controllers: str) -> bool:
    """Whether `folder` is a hierarchy of the version asked for ("" is version 2)."""
    return (folder / "cgroup.controllers").exists() if controllers == "" else folder.is_dir()


def _statistics(folder: Path) -> dict[str, int]:
    pairs = (line.split() for line in (_text(folder / "memory.stat") or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _number(path: Path) -> int | None:
    return _parse(_text(path))


def _parse(text: str | None) -> int | None:
    """A whole number; None for "max", -1 and anything else that is not one."""
    return int(text) if text is not None and text.isdecimal() and text.isascii() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
