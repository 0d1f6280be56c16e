"""Files that are not on this machine, through fsspec: their names, their file systems, their faults."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from typing import Any

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.io.faults import first_line, is_passing, status_of, without_secrets

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(::|://)")
_PACKAGES = {
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "hf": "'forge-gpu[hub]'",
}
_CREDENTIALS = (
    "NoCredentials",
    "PartialCredentials",
    "TokenRetrieval",
    "UnauthorizedSSOToken",
    "DefaultCred",
)
"""What the names of the errors of a store's library begin with where it finds nobody to act for."""


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def is_of_this_machine(url: str) -> bool:
    """Whether what a URL names, in the end of a chain as in `simplecache::file:///a`, is a local file."""
    scheme, mark, _ = url.rpartition("::")[2].partition("://")
    return not mark or scheme.lower() in ("file", "local")


def shown(url: str) -> str:
    """A URL without the user's name, password and query, which may be secret."""
    return without_secrets(url)


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it. Who may read or write is what the store's own
    package finds: in the environment, in its files, in those of fsspec.

    Raises ForgeError with the command that installs a missing backend, InputError for an unknown protocol.
    """
    import fsspec

    try:
        result, path = fsspec.core.url_to_fs(url)
    except ImportError as fault:
        raise ForgeError(
            f"{shown(url)}: {protocol(url)}:// needs a package that is not installed; install it "
            f"with: {sys.executable} -m pip install {_package(protocol(url))}"
        ) from fault
    except ValueError as fault:
        raise InputError(f"{shown(url)}: {first_line(fault)}") from fault
    return result, path


def fingerprint(url: str, about: Mapping[str, Any]) -> str:
    """A digest of a file's URL, its size, and what the store says of its content; where it says nothing of
    that, of when it was written."""
    tags = [f"{key}={about[key]}" for key in _TAGS if about.get(key) is not None]
    tags = tags or [f"{key}={about[key]}" for key in _TIMES if about.get(key) is not None]
    whole = "\0".join([url, f"size={about.get('size')}", *tags])
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


_TAGS = ("blob_id", "ETag", "etag", "md5Hash", "generation", "sha256")
_TIMES = ("LastModified", "mtime", "last_modified", "created")


def fingerprint_now(url: str) -> str:
    """The fingerprint by what the store says now, not by what it said to an earlier question. Raises what its
    backend raises."""
    system, path = filesystem(url)
    system.invalidate_cache()
    return fingerprint(url, system.info(path))


def fault_of(url: str, fault: Exception) -> InputError:
    """The error for a URL that could not be read, by what its backend raised."""
    name = shown(url)
    if isinstance(fault, FileNotFoundError) or status_of(fault) in (404, 410):
        return InputError(f"{name}: there is no such file; {_whereabouts(url)}")
    if is_forbidden(fault):
        return InputError(f"{name}: no permission to read it; {credentials(url)}")
    message = f"{name}: cannot be read: {type(fault).__name__}: {first_line(fault)}"
    if is_passing(fault):
        message += "; it was tried again and again: check the network, then run the same command again"
    return InputError(message)


def _whereabouts(url: str) -> str:
    """Where a file that is not found may be."""
    if protocol(url) != "hf":
        return "check the URL"
    return (
        "a data set is hf://datasets/OWNER/NAME, with @REVISION and a path if you like; one that is private"
        " or gated is there for those who have logged in with 'hf auth login'"
    )


def is_forbidden(fault: Exception) -> bool:
    """Whether a store refuses the one who asks, or its package knows nobody to ask for."""
    return (
        isinstance(fault, PermissionError)
        or status_of(fault) in (401, 403)
        or type(fault).__name__.startswith(_CREDENTIALS)
    )


def credentials(url: str) -> str:
    """What to do where they are lacking."""
    return (
        f"check the credentials for {protocol(url)}:// (those that its own tools use: the environment, or a "
        "profile)"
    )


def protocol(url: str) -> str:
    return re.split(r"::|://", url, maxsplit=1)[0].lower()


def _package(protocol: str) -> str:
    from fsspec.registry import known_implementations

    if protocol == "hf":
        return _PACKAGES[protocol]
    module = str(known_implementations.get(protocol, {}).get("class", "")).partition(".")[0]
    return module if module not in ("", "fsspec") else _PACKAGES.get(protocol, f"'fsspec[{protocol}]'")
