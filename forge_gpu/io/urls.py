"""Files that are not on this machine, through fsspec."""

from __future__ import annotations

import re
import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from forge_gpu.errors import ForgeError, InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(::|://)")
_PACKAGES = {
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
}


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def shown(url: str) -> str:
    """A URL without what is secret in it: the user's name and password, and the query (signatures)."""
    parts = urlsplit(url)
    if not parts.netloc and not parts.query:
        return url
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it.

    Raises ForgeError with the command that installs a missing backend, InputError for an unknown protocol.
    """
    import fsspec

    try:
        found, path = fsspec.core.url_to_fs(url)
    except ImportError as fault:
        raise ForgeError(
            f"{shown(url)}: reading {_protocol(url)}:// needs a package that is not installed; install it "
            f"with: {sys.executable} -m pip install {_package(_protocol(url))}"
        ) from fault
    except ValueError as fault:
        raise InputError(f"{shown(url)}: {fault}") from fault
    return found, path


def fault_of(url: str, fault: Exception) -> InputError:
    """The error for a URL that could not be read."""
    if isinstance(fault, FileNotFoundError):
        return InputError(f"{shown(url)}: there is no such file; check the URL")
    if isinstance(fault, PermissionError):
        return InputError(f"{shown(url)}: no permission; check the credentials for {_protocol(url)}://")
    first = str(fault).replace(url, shown(url)).partition("\n")[0]
    return InputError(f"{shown(url)}: cannot be read: {type(fault).__name__}: {first}")


def _protocol(url: str) -> str:
    return re.split(r"::|://", url, maxsplit=1)[0].lower()


def _package(protocol: str) -> str:
    from fsspec.registry import known_implementations

    module = str(known_implementations.get(protocol, {}).get("class", "")).partition(".")[0]
    return module if module not in ("", "fsspec") else _PACKAGES.get(protocol, f"'fsspec[{protocol}]'")
