"""What is secret in a text that Forge writes for people: gone before it is written."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from forge_gpu.io.faults import without_secrets

HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|credential|api[-_]?key|access[-_]?key|private[-_]?key|"
    r"(hf|auth|access|bearer|session|refresh|api|github|wandb)[-_]?token|^(auth|token)$|[-_.](auth|pwd)$|"
    r"(?<!bos)(?<!eos)(?<!pad)(?<!unk)(?<!sep)(?<!cls)(?<!mask)[-_.]token$",
    re.IGNORECASE,
)
# One try a word, and no way back: a message may hold a row of any length.
_SETTING = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]++)(?P<sign>\s*+[=:]\s*+)(?P<value>\"[^\"]*\"|'[^']*'|[^\s,;'\"&}\]]+)"
)
_KNOWN_KEYS = re.compile(
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|"
    r"github_pat_\w{30,}|sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{35}|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
# The quality check of this name: its setting, and how many rows it met.
_CHECK = re.compile(r"(?:^|\.)secrets$")
_OF_CHECK = re.compile(r"off|warn|reject|\d+")
_SHORTEST = 6
"""A value of the environment that is shorter occurs in texts by chance."""
_LONGEST_WORD = 64


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def is_secret(name: str, value: object) -> bool:
    """Whether what stands under this name must not be shown."""
    if not value or not is_secret_name(name):
        return False
    return not (_CHECK.search(name) and _OF_CHECK.fullmatch(str(value)))


def public(text: str) -> str:
    """A text without what is secret in its URLs, in settings whose names say so, and without the values of
    such variables of the environment, and keys that are known by their look. What is not UTF-8, as a path may
    hold it, is replaced too."""
    return _public(text, _environment())


def public_within(value: object) -> object:
    """A value of JSON whose texts are public, and whose secret keys have none."""
    return _public_within(value, _environment())


def public_values(values: Mapping[str, object]) -> dict[str, object]:
    """The same of the values of a mapping whose own keys are ours, as the fields of an event."""
    secrets = _environment()
    return {key: _public_within(value, secrets) for key, value in values.items()}


def _public(text: str, secrets: tuple[str, ...]) -> str:
    """Names and words come again and again, thousands of times a job."""
    return _public_word(text, secrets) if len(text) <= _LONGEST_WORD else _public_text(text, secrets)


def _public_text(text: str, secrets: tuple[str, ...]) -> str:
    text = without_secrets(text)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _KNOWN_KEYS.sub(HIDDEN, text)
    text = _SETTING.sub(_hide, text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


_public_word = lru_cache(1024)(_public_text)


def _public_within(value: object, secrets: tuple[str, ...]) -> object:
    if isinstance(value, str):
        return _public(value, secrets)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {
            _public(str(key), secrets): HIDDEN if is_secret(str(key), of) else _public_within(of, secrets)
            for key, of in value.items()
        }
    if isinstance(value, list | tuple):
        return [_public_within(item, secrets) for item in value]
    return value


def public_command(arguments: Sequence[str]) -> list[str]:
    """A command line that may be shown."""
    shown: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        follows = before.startswith("--") and "=" not in before and is_secret_name(before)
        shown.append(HIDDEN if follows else public(argument))
    return shown


def command_line() -> list[str]:
    """The command of this process, as it may be shown."""
    name, *arguments = sys.argv
    return ["forge" if name == "-c" else Path(name).name, *public_command(arguments)]


def _hide(match: re.Match[str]) -> str:
    if not is_secret(match["name"], match["value"]):
        return match[0]
    return f"{match['name']}{match['sign']}{HIDDEN}"


def _environment() -> tuple[str, ...]:
    """What is secret in it now, the longest first; all of it is not read, which takes ten times as long."""
    values = {os.environ[name] for name in os.environ if is_secret_name(name)}
    return tuple(sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True))
