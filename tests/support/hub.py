"""A hub of data sets on this machine, as huggingface_hub's own client speaks to one.

It has repositories of files, lists and resolves them, and takes commits: small files in the commit itself,
large ones by Git LFS (basic transfers). Faults can be planted, and every request is noted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

TOKEN = "hf_" + "a1B2" * 8
DATE = "2026-01-01T00:00:00.000Z"
LARGE = 4096
"""Files of more bytes go by LFS, as those of more than 10 MB or of some kinds do on the real one."""


@dataclass
class Repository:
    """files: by their paths. commits: what each commit put and removed, the first one without either."""

    kind: str
    name: str
    is_private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=lambda: [[]])
    branches: set[str] = field(default_factory=lambda: {"main"})

    @property
    def sha(self) -> str:
        return hashlib.sha1(f"{self.kind}/{self.name}/{len(self.commits)}".encode()).hexdigest()

    def has(self, revision: str) -> bool:
        return revision in self.branches or revision == self.sha


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Any
    body: bytes

    @property
    def is_signed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"


@dataclass
class Answer:
    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.answer = Answer(status, {"error": message}, {"X-Error-Message": message, "X-Error-Code": code})


NO_REPOSITORY = "RepoNotFound"
NO_ENTRY = "EntryNotFound"
NO_REVISION = "RevisionNotFound"


@dataclass
class Hub:
    """repositories: by `datasets/org/name`, or `models/…`. objects: LFS, by their SHA-256. log: method and
    path of each request. before: is called with each, and may return an answer of its own, or stop."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    before: Callable[[Request], Answer | None] = lambda request: None

    def add(self, name: str, files: dict[str, bytes], kind: str = "datasets", private: bool = False) -> str:
        """A repository with these files; its address, as `hf://datasets/org/name`."""
        repository = Repository(kind, name, private, dict(files))
        repository.commits.append(sorted(files))
        self.repositories[f"{kind}/{name}"] = repository
        return f"hf://{kind}/{name}"

    def files(self, name: str, kind: str = "datasets") -> dict[str, bytes]:
        return self.repositories[f"{kind}/{name}"].files

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Of a process whose hub this is. home: for its caches; a token is put where the client keeps it."""
        home.mkdir(parents=True, exist_ok=True)
        if token is not None:
            (home / "token").write_text(token)
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def answer(self, request: Request) -> Answer:
        self.log.append((request.method, request.path))
        planted = self.before(request)
        if planted is not None:
            return planted
        for method, pattern, respond in ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match is not None and request.method in method:
                return respond(self, request, **match.groupdict())
        return Answer(404, {"error": f"no such address: {request.path}"})

    def find(self, request: Request, kind: str | None, name: str, revision: str = "main") -> Repository:
        repository = self.repositories.get(f"{kind or 'models'}/{name}")
        if repository is None or (repository.is_private and not request.is_signed):
            if request.headers.get("Authorization") and not request.is_signed:
                raise Refused(401, "Invalid credentials in Authorization header")
            raise Refused(401 if not request.is_signed else 404, "Repository not found", NO_REPOSITORY)
        if not repository.has(unquote(revision)):
            raise Refused(404, f"Invalid rev id: {revision}", NO_REVISION)
        return repository


def _sign(request: Request) -> None:
    if not request.is_signed:
        raise Refused(401, "Invalid username or password.")


def _who(hub: Hub, request: Request) -> Answer:
    _sign(request)
    return Answer(body={"type": "user", "name": "org", "orgs": [], "auth": {"type": "access_token"}})


def _card(hub: Hub, request: Request) -> Answer:
    return Answer(body={"errors": [], "warnings": []})


def _create(hub: Hub, request: Request) -> Answer:
    _sign(request)
    about = json.loads(request.body)
    kind = f"{about.get('type', 'model')}s"
    name = f"{about.get('organization') or 'org'}/{about['name']}"
    url = f"{hub.url}/{'' if kind == 'models' else kind + '/'}{name}"
    if f"{kind}/{name}" in hub.repositories:
        return Answer(409, {"error": "You already created this repo", "url": url})
    is_private = about.get("visibility") == "private" or bool(about.get("private"))
    hub.repositories[f"{kind}/{name}"] = Repository(kind, name, is_private)
    return Answer(body={"url": url, "id": name, "name": name})


def _branch(hub: Hub, request: Request, kind: str, name: str, revision: str) -> Answer:
    _sign(request)
    hub.find(request, kind, name).branches.add(unquote(revision))
    return Answer(201, {})


def _about(hub: Hub, request: Request, kind: str, name: str, revision: str | None = None) -> Answer:
    repository = hub.find(request, kind, name, revision or "main")
    return Answer(
        body={
            "_id": "0",
            "id": name,
            "author": name.partition("/")[0],
            "sha": repository.sha,
            "lastModified": DATE,
            "private": repository.is_private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(repository.files)],
        }
    )


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
    if len(content) > LARGE:
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return entry


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _tree(
    hub: Hub, request: Request, kind: str, name: str, revision: str, folder: str | None = None
) -> Answer:
    files = hub.find(request, kind, name, revision).files
    is_deep = request.query.get("recursive", [""])[0].lower() in ("1", "true")
    below = f"{unquote(folder)}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, content in sorted(files.items()):
        if not path.startswith(below):
            continue
        parents = path[len(below) :].split("/")[:-1]
        for depth in range(1, len(parents) + 1)[: None if is_deep else 1]:
            parent = below + "/".join(parents[:depth])
            entries[parent] = {"type": "directory", "path": parent, "size": 0, "oid": _blob(parent.encode())}
        if is_deep or not parents:
            entries[path] = _entry(path, content)
    if folder and not entries:
        raise Refused(404, f"{folder} does not exist", NO_ENTRY)
    return Answer(body=list(entries.values()))


def _paths(hub: Hub, request: Request, kind: str, name: str, revision: str) -> Answer:
    files = hub.find(request, kind, name, revision).files
    if "json" in (request.headers.get("Content-Type") or ""):
        asked = json.loads(request.body)["paths"]
    else:
        asked = parse_qs(request.body.decode()).get("paths", [])
    asked = [asked] if isinstance(asked, str) else asked
    entries = [_entry(path, files[path]) for path in asked if path in files]
    for path in asked:
        if path not in files and any(file.startswith(f"{path}/") for file in files):
            entries.append({"type": "directory", "path": path, "size": 0, "oid": _blob(path.encode())})
    return Answer(body=entries)


def _resolve(hub: Hub, request: Request, kind: str | None, name: str, revision: str, path: str) -> Answer:
    repository = hub.find(request, kind.rstrip("/") if kind else None, name, revision)
    content = repository.files.get(unquote(path))
    if content is None:
        raise Refused(404, "Entry not found", NO_ENTRY)
    is_large = len(content) > LARGE
    etag = hashlib.sha256(content).hexdigest() if is_large else _blob(content)
    headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repository.sha, "Accept-Ranges": "bytes"}
    if is_large:
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
    spans = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
    if spans is None:
        return Answer(200, content, headers)
    begin, end = int(spans[1]), min(int(spans[2] or len(content) - 1), len(content) - 1)
    if begin >= len(content):
        return Answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {begin}-{end}/{len(content)}"
    return Answer(206, content[begin : end + 1], headers)


def _preupload(hub: Hub, request: Request, kind: str, name: str, revision: str) -> Answer:
    _sign(request)
    files = hub.find(request, kind, name, revision).files
    answers = []
    for asked in json.loads(request.body)["files"]:
        path, mode = asked["path"], "lfs" if asked["size"] > LARGE else "regular"
        present = files.get(path)
        oid = None
        if present is not None:
            oid = hashlib.sha256(present).hexdigest() if mode == "lfs" else _blob(present)
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Answer(body={"files": answers})


def _batch(hub: Hub, request: Request, kind: str | None, name: str) -> Answer:
    _sign(request)
    objects = []
    for asked in json.loads(request.body)["objects"]:
        entry = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] not in hub.objects:
            entry["actions"] = {
                "upload": {"href": f"{hub.url}/lfs/{asked['oid']}"},
                "verify": {"href": f"{hub.url}/lfs/verify"},
            }
        objects.append(entry)
    return Answer(body={"transfer": "basic", "objects": objects})


def _put(hub: Hub, request: Request, oid: str) -> Answer:
    if hashlib.sha256(request.body).hexdigest() != oid:
        raise Refused(400, "the content is not what its name says")
    hub.objects[oid] = request.body
    return Answer()


def _verify(hub: Hub, request: Request) -> Answer:
    asked = json.loads(request.body)
    if len(hub.objects.get(asked["oid"], b"")) != asked["size"]:
        raise Refused(404, "no such object")
    return Answer(body={})


def _commit(hub: Hub, request: Request, kind: str, name: str, revision: str) -> Answer:
    _sign(request)
    repository = hub.find(request, kind, name, revision)
    files = dict(repository.files)
    changed = []
    for line in request.body.splitlines():
        item = json.loads(line)
        value = item["value"]
        match item["key"]:
            case "header":
                continue
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                if value["oid"] not in hub.objects:
                    raise Refused(400, f"LFS object {value['oid']} was not uploaded")
                files[value["path"]] = hub.objects[value["oid"]]
            case "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise Refused(404, f"{value['path']} does not exist", NO_ENTRY)
            case "deletedFolder":
                files = {path: of for path, of in files.items() if not path.startswith(value["path"])}
            case unknown:
                raise Refused(400, f"unknown operation {unknown}")
        changed.append(value["path"])
    repository.files = files
    repository.commits.append(changed)
    url = f"{hub.url}/{kind}/{name}/commit/{repository.sha}"
    return Answer(body={"success": True, "commitOid": repository.sha, "commitUrl": url, "hookOutput": ""})


_API = r"/api/(?P<kind>datasets|models)/(?P<name>[^/]+/[^/]+)"
_REPOSITORY = r"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)"
_REVISION = r"/(?P<revision>[^/]+)"
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Answer]]] = [
    (("GET",), r"/api/whoami-v2", _who),
    (("POST",), r"/api/repos/create", _create),
    (("POST",), r"/api/validate-yaml", _card),
    (("GET",), _API, _about),
    (("GET",), _API + "/revision" + _REVISION, _about),
    (("POST",), _API + "/branch" + _REVISION, _branch),
    (("GET",), _API + "/tree" + _REVISION + "(?:/(?P<folder>.+))?", _tree),
    (("POST",), _API + "/paths-info" + _REVISION, _paths),
    (("POST",), _API + "/preupload" + _REVISION, _preupload),
    (("POST",), _API + "/commit" + _REVISION, _commit),
    (("POST",), r"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _batch),
    (("PUT",), r"/lfs/(?P<oid>[0-9a-f]{64})", _put),
    (("POST",), r"/lfs/verify", _verify),
    (("GET", "HEAD"), _REPOSITORY + "/resolve" + _REVISION + "/(?P<path>.+)", _resolve),
]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        request = self._request()
        try:
            answer = self.hub.answer(request)
        except Refused as refused:
            answer = refused.answer
        except ConnectionError:  # planted: the hub goes away
            self.close_connection = True
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = dict(answer.headers)
        if not isinstance(answer.body, bytes):
            headers["Content-Type"] = "application/json"
        self.send_response(answer.status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return Request(self.command, parts.path, parse_qs(parts.query), self.headers, body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *arguments: Any) -> None:
        """What is asked stands in the hub's log."""


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub at an address of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def hub_of_this_process(home: Path, token: str | None = TOKEN) -> Iterator[Hub]:
    """The same, and huggingface_hub here and in child processes takes it for its own. home: for caches."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub_server() as hub, pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in hub.environment(home, token).items():
            patch.setenv(name, value)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield hub


def failing(status: int, times: int, pattern: str = ".*") -> Callable[[Request], Answer | None]:
    """What answers so many requests with a fault. A hub that is slow: `slow`."""
    left = times

    def before(request: Request) -> Answer | None:
        nonlocal left
        if left > 0 and re.search(pattern, request.path):
            left -= 1
            return Answer(status, {"error": "planted"})
        return None

    return before


def slow(seconds: float, pattern: str = ".*") -> Callable[[Request], Answer | None]:
    def before(request: Request) -> Answer | None:
        if re.search(pattern, request.path):
            time.sleep(seconds)
        return None

    return before
