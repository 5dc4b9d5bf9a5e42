"""A Hugging Face hub on 127.0.0.1: the routes that downloads and uploads of models use, and what can go wrong there."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".npz", ".pt")


class FakeHub:
    """Repositories of one branch, `main`, with every commit kept; large files are LFS objects."""

    def __init__(self) -> None:
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: set[str] = set()
        self.uploaded: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and asked-for range of every request."""
        self.cut: dict[str, list[int]] = {}
        """File → after how many bytes each of its next downloads is cut off."""
        self.stall: dict[str, int] = {}
        """File → after how many bytes its downloads stand still."""
        self.served_instead: dict[str, bytes] = {}
        """File → what is served in its place, under the other's checksum."""
        self.listed_as: dict[str, str] = {}
        """File → the name that listings give it."""
        self.gated: set[str] = set()
        self.endpoint = ""

    def commit(self, repo: str, files: Mapping[str, bytes]) -> str:
        """A new commit with these files added to those of the one before."""
        history = self.commits.setdefault(repo, [])
        tree = {**(history[-1][1] if history else {}), **files}
        sha = hashlib.sha1(f"{repo} {len(history)} {sorted(tree)}".encode()).hexdigest()
        history.append((sha, tree))
        return sha

    def tree(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        history = self.commits.get(repo, [])
        if revision == "main":
            return history[-1] if history else None
        return next((one for one in history if one[0] == revision), None)

    def downloads(self, path: str) -> list[str]:
        """The ranges that were asked for of a file."""
        return [asked for method, url, asked in self.requests if method == "GET" and url.endswith(f"/{path}")]

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        found = {"type": "file", "path": self.listed_as.get(path, path), "size": len(content), "oid": git}
        if path.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            found["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return found


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub, answering at `hub.endpoint`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer("GET")

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PUT(self) -> None:
        self.answer("PUT")

    def answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((method, path, self.headers.get("Range", "")))
        body = self.body()
        for pattern, answer in _ROUTES.items():
            if found := re.fullmatch(pattern, f"{method} {path}"):
                if "org/locked" in path:
                    self.refuse(403, "GatedRepo")
                else:
                    answer(self, body, *found.groups())
                return
        self.refuse(404, "")

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def say(self, value: Any, status: int = 200, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.say({"error": code}, status, **({"X-Error-Code": code} if code else {}))

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if repo not in self.hub.commits:
            return self.refuse(401, "RepoNotFound")
        return self.hub.tree(repo, revision) or self.refuse(404, "RevisionNotFound")

    def info(self, body: bytes, repo: str, revision: str | None = None) -> None:
        if found := self.at(repo, revision or "main"):
            self.say({"id": repo, "sha": found[0], "siblings": [], "private": False, "tags": []})

    def paths_info(self, body: bytes, repo: str, revision: str) -> None:
        if found := self.at(repo, revision):
            asked, said = parse_qs(body.decode()).get("paths", []), []
            for path in asked:
                if path in found[1]:
                    said.append(self.hub.entry(path, found[1][path]))
                elif any(name.startswith(f"{path}/") for name in found[1]):
                    said.append(_folder(path))
            self.say(said)

    def list_tree(self, body: bytes, repo: str, revision: str, folder: str | None) -> None:
        if found := self.at(repo, revision):
            prefix, said = f"{folder}/" if folder else "", {}
            for name, content in found[1].items():
                if name.startswith(prefix):
                    first, below, _ = name[len(prefix) :].partition("/")
                    path = prefix + first
                    said[path] = _folder(path) if below else self.hub.entry(name, content)
            self.say(list(said.values()))

    def resolve(self, body: bytes, repo: str, revision: str, path: str) -> None:
        if not (found := self.at(repo, revision)):
            return
        real = next((name for name, listed in self.hub.listed_as.items() if listed == path), path)
        if real not in found[1]:
            self.refuse(404, "EntryNotFound")
            return
        content = self.hub.served_instead.get(path, found[1][real])
        first = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        cuts = self.hub.cut.get(path)
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", found[0])
        entry = self.hub.entry(real, found[1][real])
        self.send_header("ETag", '"' + (entry.get("lfs") or entry)["oid"] + '"')
        self.end_headers()
        if self.command == "HEAD":
            return
        until = first + cuts.pop(0) if cuts else self.hub.stall.get(path, len(content))
        self.wfile.write(content[first:until])
        if path in self.hub.stall:
            self.wfile.flush()
            self.connection.recv(1)  # until the other side is gone
        self.close_connection = until < len(content)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.hub.commits:
            self.say({"error": "exists", "url": f"{self.hub.endpoint}/{repo}"}, 409)
            return
        self.hub.commits[repo] = []
        self.hub.commit(repo, {".gitattributes": b""})
        if asked.get("visibility") == "private":
            self.hub.private.add(repo)
        self.say({"url": f"{self.hub.endpoint}/{repo}"})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        files = [file["path"] for file in json.loads(body)["files"]]
        modes = {True: "lfs", False: "regular"}
        self.say({"files": [{"path": p, "uploadMode": modes[p.endswith(LARGE)], "shouldIgnore": False} for p in files]})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        href = f"{self.hub.endpoint}/lfs/"
        actions = [{**one, "actions": {"upload": {"href": href + one["oid"]}}} for one in json.loads(body)["objects"]]
        self.say({"transfer": "basic", "objects": actions})

    def lfs_put(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.uploaded[oid] = body
        self.say(b"")

    def new_commit(self, body: bytes, repo: str, revision: str) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        kinds = ("header", "file", "lfsFile")
        values = {kind: [line["value"] for line in lines if line["key"] == kind] for kind in kinds}
        files = {one["path"]: base64.b64decode(one["content"]) for one in values["file"]}
        files |= {one["path"]: self.hub.uploaded[one["oid"]] for one in values["lfsFile"]}
        self.hub.messages += [one["summary"] for one in values["header"]]
        sha = self.hub.commit(repo, files)
        self.say({"commitOid": sha, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{sha}"})


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "oid": "0" * 40}


_ROUTES: dict[str, Any] = {
    r"GET /api/models/([^/]+/[^/]+)": _Handler.info,
    r"GET /api/models/([^/]+/[^/]+)/revision/(.+)": _Handler.info,
    r"POST /api/models/([^/]+/[^/]+)/paths-info/(.+)": _Handler.paths_info,
    r"GET /api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?": _Handler.list_tree,
    r"(?:GET|HEAD) /([^/]+/[^/]+)/resolve/([^/]+)/(.+)": _Handler.resolve,
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": lambda self, body: self.say({"errors": [], "warnings": []}),
    r"POST /api/models/([^/]+/[^/]+)/preupload/(.+)": _Handler.preupload,
    r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch": _Handler.lfs_batch,
    r"PUT /lfs/(\w+)": _Handler.lfs_put,
    r"POST /api/models/([^/]+/[^/]+)/commit/(.+)": _Handler.new_commit,
}
