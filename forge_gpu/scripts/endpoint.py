"""A model behind OpenAI's protocol, or a record of what one answered. What it says is a stranger's text."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Sequence
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.plain import frozen, mutable

Messages = Sequence[dict[str, str]]
MAX_ANSWER = 4 * 2**20
SECONDS = 120
TRIES = 4
BUSY = (429, 500, 502, 503, 504)
MAX_WAIT = 20.0


class EndpointError(ForgeError):
    """A model that cannot be reached, or answers something else."""

    exit_code = 69


@frozen
class Endpoint:
    """url: up to /chat/completions, https or of this machine. key: the bearer's; never shown."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username or parts.password or parts.query:
            raise ConfigError("--url: name the key in FORGE_LLM_KEY, not in the URL")
        if not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))):
            raise ConfigError(f"--url {self.url}: must begin with https://, or be http:// of this machine")

    def answer(self, messages: Messages) -> str:
        """What the model says. Tries again where it is busy or cannot be reached. Raises EndpointError."""
        httpx = _httpx()
        fault = ""
        for attempt in range(TRIES):
            wait = 0.5 * 2**attempt
            try:
                status, body, after = self._post(httpx, messages)
            except httpx.TransportError as error:
                fault = f"{type(error).__name__}"
            else:
                if status == 200:
                    return self._text_of(body)
                if status not in BUSY:
                    raise EndpointError(
                        f"{self.url}: answered with HTTP {status}; look at --url, --model and the key"
                    )
                fault, wait = f"HTTP {status}", after if after is not None else wait
            if attempt + 1 < TRIES:
                time.sleep(min(wait, MAX_WAIT))
        raise EndpointError(f"{self.url}: {fault}, {TRIES} times; does it run?")

    def _post(self, httpx: Any, messages: Messages) -> tuple[int, bytes, float | None]:
        """Status, body and how long to wait, bounded in size and in time."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        content = {"model": self.model, "messages": list(messages), "temperature": 0, "seed": 0}
        end = time.monotonic() + SECONDS
        body = bytearray()
        with (
            httpx.Client(follow_redirects=False, trust_env=False, timeout=SECONDS) as client,
            client.stream(
                "POST", f"{self.url.rstrip('/')}/chat/completions", json=content, headers=headers
            ) as reply,
        ):
            for piece in reply.iter_bytes(65536):
                body += piece
                if len(body) > MAX_ANSWER:
                    raise EndpointError(
                        f"{self.url}: an answer of more than {MAX_ANSWER:,} bytes is not taken"
                    )
                if time.monotonic() > end:
                    raise EndpointError(f"{self.url}: no whole answer within {SECONDS} s")
            return reply.status_code, bytes(body), _seconds(reply.headers.get("retry-after"))

    def _text_of(self, body: bytes) -> str:
        try:
            text = json.loads(body)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise EndpointError(
                f"{self.url}: the answer is not a chat completion; is it a server of that protocol?"
            )
        return text


@mutable
class Recorded:
    """Answers of a model, given again in their order; nothing is reached."""

    answers: list[str]
    url: str = "recorded"
    model: str = "recorded"

    def answer(self, messages: Messages) -> str:
        if not self.answers:
            raise EndpointError("the recording has no more answers; ask the model again without --replay")
        return self.answers.pop(0)


def _is_here(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _seconds(text: str | None) -> float | None:
    try:
        return max(float(text), 0.0) if text is not None else None
    except ValueError:
        return None


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise ConfigError("asking a model needs httpx: pip install 'forge-gpu[write]'") from None
    return httpx
