"""What a container sees of the host: files and folders that the plan names, each under its absolute name.

So the names in the ledger, the manifest, messages and the checkpoint are those of a run on the host, and a
job goes on across both. Inputs are read-only.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from forge_gpu.container.engines import socket_of
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.io import urls
from forge_gpu.io.inputs import STDIN, InputFile
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen

SYSTEM = tuple(
    Path(name)
    for name in (
        *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin"),
        *("/sys", "/usr", "/var/cache", "/var/lib/containerd", "/var/lib/containers", "/var/lib/docker"),
        *("/var/run", "/opt/forge"),
    )
)
"""Of the system, of the engine, or of the image: nothing in them, and nothing that holds one of them."""
OWN = Path("/tmp")
"""A folder that a container has for itself; what lies in it on the host can be mounted."""
MOST = 200
"""Mounts of one container; each takes the engine some milliseconds."""


@frozen
class Mount:
    """source: resolved, on the host. target: the absolute name in the container."""

    source: Path
    target: Path
    writable: bool = False

    def argument(self) -> str:
        """The value of `--mount`: fields as in CSV, so that no name can end one."""
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(fields if self.writable else [*fields, "readonly"])
        return line.getvalue()


def mounts_of(spec: JobSpec, files: JobFiles, more: Sequence[Path] = ()) -> list[Mount]:
    """The mounts of a job. more: files to read besides, as those of credentials.

    Raises InputError for a path that is mounted nowhere, and what resolving the inputs raises.
    """
    data = spec.config.data
    named = [
        *_of_paths(data.inputs, spec.base, files.inputs),
        *_of_paths(data.against, spec.against_base or spec.base, files.against if data.against else []),
        *_of_plan(spec),
        *_of_media(spec, files),
        *more,
    ]
    result: dict[Path, Mount] = {}
    for path in named:
        mount = mount_of(path)
        result.setdefault(mount.target, mount)
    output = mount_of(spec.output, writable=True)
    result[output.target] = output
    mounts = _without_nested(list(result.values()))
    if len(mounts) > MOST:
        raise InputError(
            f"{len(mounts):,} files would be mounted into the container one by one, and {MOST} are the most; "
            "name the folder that holds them"
        )
    return mounts


def _of_plan(spec: JobSpec) -> Iterator[Path]:
    """What a plan names beside its data: a script, and a tokenizer, whose files may be links elsewhere."""
    script, tokenizer = spec.config.data.transform.script, spec.config.tokens.tokenizer
    if script is not None:
        yield spec.base / script
    if tokenizer is not None:
        place = Path(tokenizer)
        yield place
        files = place.iterdir() if place.is_dir() else [place]
        yield from (Path(os.path.realpath(file)) for file in files if file.is_symlink())


def _of_media(spec: JobSpec, files: JobFiles) -> Iterator[Path]:
    """Folders in which files are looked up that records refer to."""
    media = spec.config.data.media
    if media.are_there:
        yield from {Path(file.url).parent for file in files.inputs if not (file.is_remote or file.is_stream)}
        yield from (spec.base / folder for folder in media.folders)


def _of_paths(paths: Sequence[str], base: Path, files: Sequence[InputFile]) -> Iterator[Path]:
    """What must be there for `paths` to name the same `files` again: folders as such, of lists and globs each
    file, and what a link among them leads to."""
    folders = []
    for given in paths:
        if given == STDIN or (urls.is_url(given) and not given.startswith("file://")):
            continue
        where = base / Path(given.removeprefix("file://").removeprefix("@")).expanduser()
        if given.startswith("@"):
            yield where
        elif where.is_dir():
            folders.append(Path(os.path.abspath(where)))
            yield where
    for file in files:
        if file.url == STDIN or file.is_remote:
            continue
        path = Path(file.url)
        if not any(path.is_relative_to(folder) for folder in folders):
            yield path
        elif path.is_symlink():
            yield Path(os.path.realpath(path))


def mount_of(path: Path, writable: bool = False) -> Mount:
    """The mount of a path. Raises InputError where it may not be mounted."""
    target, source = Path(os.path.abspath(path)), Path(os.path.realpath(path))
    for name in {target, source}:
        why = _refusal(name)
        if why is not None:
            raise InputError(f"{path}: {why}, which is not given to a container; move the data elsewhere")
    try:
        kind = os.stat(source).st_mode
    except OSError as fault:
        raise InputError(f"{path}: cannot be read: {fault.strerror}") from fault
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise InputError(f"{path}: is neither a file nor a folder, so no container gets it; pipe it to -")
    try:
        os.fsencode(target).decode(), os.fsencode(source).decode()
    except UnicodeDecodeError:
        raise InputError(
            f"{os.fsencode(path)!r}: no container engine takes a name that is not UTF-8"
        ) from None
    return Mount(source, target, writable)


def _refusal(path: Path) -> str | None:
    """Why a path may not be mounted; None if it may."""
    for folder in SYSTEM:
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            return f"{'lies in' if path.is_relative_to(folder) else 'holds'} {folder}"
    socket = socket_of()
    if socket is not None and Path(os.path.realpath(socket)).is_relative_to(path):
        return "holds the container engine's socket"
    home = Path(os.path.realpath(os.path.expanduser("~")))
    if home.is_relative_to(path):
        return f"is or holds your home folder {home}"
    return f"is {OWN}" if path == OWN else None


def _without_nested(mounts: list[Mount]) -> list[Mount]:
    """Leave out what another mount shows already: the same files, with no fewer rights."""
    return [
        mount
        for mount in mounts
        if mount.writable or not any(other is not mount and _shows(other, mount) for other in mounts)
    ]


def _shows(outer: Mount, inner: Mount) -> bool:
    return (
        not outer.writable
        and inner.target.is_relative_to(outer.target)
        and inner.target != outer.target
        and inner.source == outer.source / inner.target.relative_to(outer.target)
    )


def require_local(spec: JobSpec) -> None:
    """Raise ConfigError where the job needs a network that its container would not have."""
    if spec.config.container.network != "none":
        return
    named = [
        *spec.config.data.inputs,
        *spec.config.data.against,
        spec.destination or "",
        spec.scheduler or "",
    ]
    for name in named:
        if urls.is_url(name) and not name.startswith("file://"):
            raise ConfigError(
                f"{urls.shown(name)}: the container has no network; give it one with --set "
                "container.network=bridge"
            )
