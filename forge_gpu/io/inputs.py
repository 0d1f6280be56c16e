"""From what the user wrote (files, folders, globs, lists, URLs) to the files that a job reads."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from forge_gpu.errors import InputError
from forge_gpu.io import faults, urls
from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.io.remote import RemoteFile
from forge_gpu.plain import frozen

STDIN = "-"
DATA_SUFFIXES = frozenset(
    {
        ".json",
        ".jsonl",
        ".ndjson",
        ".jsonlines",
        ".csv",
        ".tsv",
        ".parquet",
        ".pq",
        ".arrow",
        ".feather",
        ".ipc",
        ".tar",
    }
)
COMPRESSED_SUFFIXES = frozenset({".gz", ".gzip", ".zst", ".zstd"})
NOT_DATA = (
    r"(dataset_(info|infos|dict)|state|(generation_|tokenizer_|preprocessor_|adapter_)?config|tokenizer"
    r"|special_tokens_map|package(-lock)?|tsconfig|manifest)\.json"
)
_EDGE = 64 * 2**10  # bytes of head and tail that go into a fingerprint

OnSkip = Callable[[str, str], None]


@frozen
class InputFile:
    """One file to read.

    path: its name in messages and in the ledger, as the user wrote it or below the folder that was
    named. url: the absolute path, a URL, or "-". size: bytes, None where it is not known. fingerprint:
    of its identity: size, time of change, and content of its first and last 64 KiB; of a remote file what
    its server says of it; empty for a stream. given: the number, among the paths that the user wrote, of the
    one that gave it. split: the one that it is, where the plan says so; else empty.
    """

    path: str
    url: str
    size: int | None
    fingerprint: str
    given: int = 0
    split: str = ""

    @property
    def is_remote(self) -> bool:
        return self.url != STDIN and urls.is_url(self.url)

    @property
    def is_stream(self) -> bool:
        """Standard input or a pipe: can be read once."""
        return self.fingerprint == ""

    def open(self, on_retry: OnRetry = ignore_retry) -> BinaryIO:
        """The file's bytes from its start; remote ones go on after faults that pass. Raises ForgeError."""
        if self.url == STDIN:
            return sys.stdin.buffer
        if self.is_remote:
            return cast(BinaryIO, RemoteFile(self.url, self.fingerprint, on_retry))
        try:
            return open(self.url, "rb")
        except OSError as fault:
            raise _fault(self.path, self.url, fault) from fault


def has_changed(file: InputFile) -> bool:
    """Whether a file of this machine is no longer what it was when it was resolved; False for all others."""
    if file.is_remote or file.is_stream:
        return False
    try:
        return _describe(file.path, file.url, ignore_retry).fingerprint != file.fingerprint
    except InputError:
        return True


def resolve(
    paths: Sequence[str],
    base: Path | None = None,
    on_skip: OnSkip = lambda path, reason: None,
    on_retry: OnRetry = ignore_retry,
) -> list[InputFile]:
    """The files that `paths` name, in the order given; within a folder or a glob sorted by name.

    A path is a file, a folder (searched through; hidden files, and files that are no data by their name,
    are passed over and told to `on_skip`), a glob (with ** for any depth), `@list.txt` (a path a line, within
    the list's own folder, or a URL), `-` (standard input) or a URL that fsspec knows. base: where relative
    paths start, the current folder if None. on_retry: is told where a remote store is asked again.
    Raises InputError for a path that gives nothing, cannot be read, or gives a file that another gave.
    """
    result: list[InputFile] = []
    given_by: dict[str, str] = {}
    for number, given in enumerate(paths):
        for path, url in _expand(given, base or Path.cwd(), on_skip, on_retry):
            identity = url if url == STDIN or urls.is_url(url) else os.path.realpath(url)
            if identity in given_by:
                by = " and by ".join(repr(urls.shown(each)) for each in (given_by[identity], given))
                raise InputError(f"{path}: is given twice, by {by}; leave one out")
            given_by[identity] = given
            result.append(replace(_describe(path, url, on_retry), given=number))
    if not result:
        raise InputError("no input: name files, folders, globs or URLs, or set data.inputs")
    return result


def _expand(given: str, base: Path, on_skip: OnSkip, on_retry: OnRetry) -> Iterator[tuple[str, str]]:
    if not given or "\0" in given:
        raise InputError(f"{given!r} is not a path")
    if given == STDIN:
        yield STDIN, STDIN
    elif given.startswith("@"):
        yield from _listed(given, base, on_skip, on_retry)
    elif given.startswith("file://"):
        yield from _local(given.removeprefix("file://"), base, on_skip)
    elif urls.is_url(given):
        yield from _remote(given, on_skip, on_retry)
    else:
        yield from _local(given, base, on_skip)


def _listed(given: str, base: Path, on_skip: OnSkip, on_retry: OnRetry) -> Iterator[tuple[str, str]]:
    if urls.is_url(given[1:]):
        raise InputError(
            f"{urls.shown(given)}: a list is a file of this machine; fetch it, and name the file"
        )
    where = base / Path(given[1:]).expanduser()
    try:
        lines = where.read_text("utf-8-sig").split("\n")
    except OSError as fault:
        raise _fault(given, str(where), fault) from fault
    except UnicodeDecodeError as fault:
        raise InputError(f"{given}: a list of paths must be UTF-8 text, a path a line") from fault
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputError(f"{given}: the list names no file")
    folder = where.absolute().parent
    for name in names:
        if name.startswith("@") or name == STDIN:
            what = "standard input" if name == STDIN else f"another list, {urls.shown(name)!r}"
            raise InputError(f"{given}: names {what}; a list holds files, folders, globs and URLs")
        if urls.is_url(name) and not urls.is_of_this_machine(name):
            yield from _remote(name, on_skip, on_retry)
        else:
            yield from _listed_locally(given, name, folder, on_skip)


def _listed_locally(given: str, name: str, folder: Path, on_skip: OnSkip) -> Iterator[tuple[str, str]]:
    """The files that a name in a list gives. Lists come with data, so they name what lies beside or below
    them: a name that leads elsewhere is refused before anything there is looked at, a link when it is."""
    local = name.removeprefix("file://")
    outside = InputError(
        f"{given}: {name!r} leads out of the folder of the list; name it beside the list, or move the list"
    )
    if not local or "\0" in local:
        raise InputError(f"{given}: {name!r} is no path")
    if not _is_inside(os.path.normpath(folder / Path(local).expanduser()), folder):
        raise outside
    for path, url in _local(local, folder, on_skip):
        if not _is_inside(os.path.realpath(url), folder.resolve()):
            raise outside
        yield path, url


def _is_inside(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(os.path.normpath(folder))


def _local(given: str, base: Path, on_skip: OnSkip) -> Iterator[tuple[str, str]]:
    path = base / Path(given).expanduser()
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        if not glob.has_magic(given):
            raise InputError(f"{given}: there is no such file or folder{_nearest(path)}") from None
        yield from _matches(given, base, on_skip)
        return
    except OSError as fault:
        raise _fault(given, str(path), fault) from fault
    if not is_folder:
        yield given, str(path.absolute())
        return
    files = list(_walk(given, path, on_skip))
    if not files:
        raise InputError(
            f"{given}: the folder holds no data file ({', '.join(sorted(DATA_SUFFIXES))}; plain, .gz or .zst)"
        )
    yield from files


def _matches(given: str, base: Path, on_skip: OnSkip) -> Iterator[tuple[str, str]]:
    """Files of a glob; one that ends with a star is held to the names of data files, as a folder is."""
    any_name = given.endswith("*")
    pattern = os.path.expanduser(given)
    names = sorted(glob.glob(pattern, root_dir=base, recursive=True))
    files = [name for name in names if (base / name).is_file()]
    for name in names:
        reason = None if (base / name).is_dir() else _not_a_file(base / name)
        if reason:
            on_skip(name, reason)
    if any_name:
        reasons = {name: _not_data(PurePosixPath(name).name) for name in files}
        for name, reason in reasons.items():
            if reason:
                on_skip(name, reason)
        files = [name for name in files if not reasons[name]]
    if not files:
        raise InputError(f"{given}: no file matches; check the pattern (** searches all depths)")
    for name in files:
        yield name, str((base / name).absolute())


def _walk(given: str, root: Path, on_skip: OnSkip) -> Iterator[tuple[str, str]]:
    def refuse(fault: OSError) -> None:
        raise _fault(str(fault.filename), str(fault.filename), fault) from fault

    result = []
    for folder, folders, names in os.walk(root, onerror=refuse):
        where = Path(folder)
        relative = PurePosixPath(given) / where.relative_to(root).as_posix()
        if folder != str(root) and {"manifest.json", "ledger.parquet"} <= set(names):
            on_skip(str(relative), "an output folder of Forge")
            folders.clear()
            continue
        for name in folders:
            if (where / name).is_symlink():
                on_skip(str(relative / name), "a link to a folder; name it on its own to read it")
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            reason = _not_data(name) or _not_a_file(where / name)
            if reason:
                on_skip(str(relative / name), reason)
            else:
                result.append((str(relative / name), str((where / name).absolute())))
    yield from sorted(result)


def _not_a_file(path: Path) -> str | None:
    """Why what has the name of a data file cannot be read as one: opening a pipe would wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # who opens it says what is amiss
    return None if stat.S_ISREG(mode) else "a pipe, socket or device; name it on its own to read it"


def _not_data(name: str) -> str | None:
    """Why a file found in a folder is passed over, by its name; None if it is read."""
    path = PurePosixPath(name.lower())
    if name.startswith((".", "_")):
        return "hidden"
    if re.fullmatch(NOT_DATA, path.name):
        return "describes a data set, a model or a package"
    suffix = path.suffix if path.suffix not in COMPRESSED_SUFFIXES else PurePosixPath(path.stem).suffix
    if suffix not in DATA_SUFFIXES:
        return "no data file by its name; name it on its own to read it"
    return None


def _remote(given: str, on_skip: OnSkip, on_retry: OnRetry) -> Iterator[tuple[str, str]]:
    system, path = urls.filesystem(given)
    system.invalidate_cache()  # what an earlier job in this process was told may be old
    if "http" in system.protocol:  # folders and globs have no meaning there
        yield urls.shown(given), given
        return
    try:
        names = faults.persist(lambda: _names_at(system, path), urls.shown(given), on_retry)
    except Exception as fault:  # what a remote backend raises is its own
        raise urls.fault_of(given, fault) from fault
    if names is None:
        yield urls.shown(given), given
        return
    if not glob.has_magic(path) or path.endswith("*"):
        names = list(_data_at(system, path, names, on_skip))
    if not names:
        raise InputError(f"{urls.shown(given)}: no data file is there")
    for name in names:
        url = system.unstrip_protocol(name)
        yield urls.shown(url), url


def _names_at(system: Any, path: str) -> list[str] | None:
    """The files of a remote glob or folder, sorted; None where the path is a file, or nothing."""
    if glob.has_magic(path):
        result = system.glob(path, detail=True)
        return sorted(name for name, about in result.items() if about["type"] != "directory")
    return sorted(system.find(path)) if system.info(path)["type"] == "directory" else None


def _data_at(system: Any, root: str, names: list[str], on_skip: OnSkip) -> Iterator[str]:
    """Those of remote files that a folder on this machine would give."""
    known = set(names)
    root = root.partition("*")[0].rstrip("/")
    outputs: set[str] = set()
    for name in names:
        folder, _, last = name.rpartition("/")
        inner = folder[len(root) :].strip("/").split("/")
        if folder != root and {f"{folder}/manifest.json", f"{folder}/ledger.parquet"} <= known:
            if folder not in outputs:
                on_skip(urls.shown(system.unstrip_protocol(folder)), "an output folder of Forge")
            outputs.add(folder)
        elif not any(part.startswith(".") for part in inner):
            reason = _not_data(last)
            if reason:
                on_skip(urls.shown(system.unstrip_protocol(name)), reason)
            else:
                yield name


def _describe(path: str, url: str, on_retry: OnRetry) -> InputFile:
    if url == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("-: standard input is a terminal; pipe data into it or name a file")
        return InputFile(path, url, None, "")
    if urls.is_url(url):
        return _describe_remote(path, url, on_retry)
    try:
        status = os.stat(url)
        if not stat.S_ISREG(status.st_mode):
            return InputFile(path, url, None, "")
        with open(url, "rb") as file:
            digest = hashlib.blake2b(f"{status.st_size} {status.st_mtime_ns}\0".encode(), digest_size=16)
            digest.update(file.read(_EDGE))
            file.seek(max(file.tell(), status.st_size - _EDGE))
            digest.update(file.read(_EDGE))
    except OSError as fault:
        raise _fault(path, url, fault) from fault
    return InputFile(path, url, status.st_size, digest.hexdigest())


def _describe_remote(path: str, url: str, on_retry: OnRetry) -> InputFile:
    system, name = urls.filesystem(url)
    try:
        about: dict[str, Any] = faults.persist(lambda: system.info(name), path, on_retry)
    except Exception as fault:  # what a remote backend raises is its own
        raise urls.fault_of(url, fault) from fault
    size = about.get("size")
    return InputFile(path, url, int(size) if size is not None else None, urls.fingerprint(url, about))


def _fault(path: str, url: str, fault: OSError) -> InputError:
    if isinstance(fault, FileNotFoundError):
        return InputError(f"{path}: there is no such file{_nearest(Path(url))}")
    if isinstance(fault, PermissionError):
        return InputError(f"{path}: no permission to read it; change its rights or run as its owner")
    return InputError(f"{path}: cannot be read: {fault.strerror or fault}")


def _nearest(path: Path) -> str:
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"; nor is there a folder {path.parent}"
    near = difflib.get_close_matches(path.name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
