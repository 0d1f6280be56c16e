"""A server on this machine that speaks OpenAI's protocol and answers as it was told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Chat:
    """answers: a text, a status, or raw bytes, in their order; the last again and again. asked: what came."""

    answers: list[Any]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def next(self) -> Any:
        return self.answers[min(len(self.asked) - 1, len(self.answers) - 1)]


@contextmanager
def chat(*answers: Any) -> Iterator[Chat]:
    reported = Chat(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            reported.asked.append(json.loads(body))
            reported.keys.append(self.headers.get("authorization"))
            answer = reported.next()
            if isinstance(answer, int):
                self.send_response(answer)
                self.send_header("retry-after", "0.01")
                self.send_header("location", "http://127.0.0.1:1/")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            if isinstance(answer, str):
                answer = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            try:
                self.wfile.write(answer)
            except OSError:
                pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        reported.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield reported
        server.shutdown()
        thread.join()
