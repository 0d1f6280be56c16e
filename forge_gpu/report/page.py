"""One file of HTML: a style, a script that is hash-locked, and data. It loads nothing, and sends nothing."""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from forge_gpu._version import __version__
from forge_gpu.errors import ForgeError, OutputError
from forge_gpu.io.atomic import write_atomic
from forge_gpu.job.output.result import PAGE_BEGINNING

HERE = Path(__file__).parent
VENDOR = HERE / "vendor"
ASSETS = HERE / "assets"
MOST_BYTES = 10**6


def html_page(script: str, title: str, data: Any, connects: bool = False) -> bytes:
    """The page that a script of `assets` makes of the data. connects: it asks the server that it came from.

    Raises ForgeError where a vendored file is not what its lock says.
    """
    code = scripts(script)
    template = (ASSETS / "page.html").read_text()
    parts = {
        "policy": policy(code, connects),
        "version": __version__,
        "title": html.escape(title),
        "style": (ASSETS / "page.css").read_text(),
        "data": as_script_data(data),
        "script": code,
    }
    pieces = template.split("@@")  # every second piece is a name
    return "".join(parts[piece] if odd % 2 else piece for odd, piece in enumerate(pieces)).encode()


def policy(code: str, connects: bool = False) -> str:
    """The page's Content-Security-Policy: this script and nothing else runs, and nothing is loaded; one that
    connects may ask its own server.

    Plot writes styles of its own into what it draws, so that styles cannot be held to a hash.
    """
    connect = "connect-src 'self'; " if connects else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"{connect}base-uri 'none'; form-action 'none'"
    )


def as_script_data(data: Any) -> str:
    """JSON for a script element that no browser runs, and that no text within can end."""
    text = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode("utf-8", "replace")
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def scripts(script: str) -> str:
    """Plot, d3, and one of our own scripts, in the order in which they run."""
    vendored = [_locked(entry["file"], entry["sha256"]) for entry in lock()]
    own = [(ASSETS / name).read_text() for name in ("common.js", script)]
    return "\n".join([*vendored, *own]).replace("</script", "<\\/script")


def lock() -> list[dict[str, str]]:
    """What is vendored: package, version and integrity at npm, the file and its SHA-256."""
    entries: list[dict[str, str]] = orjson.loads((VENDOR / "lock.json").read_bytes())
    return entries


def _locked(file: str, sha256: str) -> str:
    data = (VENDOR / file).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ForgeError(f"{VENDOR / file}: is not the file that its lock names; install Forge again")
    return data.decode()


def write_page(path: Path, page: bytes) -> None:
    """Write a page. Raises OutputError, also where something else lies there."""
    try:
        with path.open("rb") as file:
            is_ours = file.read(len(PAGE_BEGINNING)) == PAGE_BEGINNING
    except FileNotFoundError:
        is_ours = True
    except OSError as fault:
        raise OutputError(f"{path}: {fault.strerror}") from fault
    if not is_ours:
        raise OutputError(f"{path}: already exists, and Forge did not write it; move it away")
    write_atomic(path, page)
