"""A local server that speaks the Hub's paths: resolve with revisions and ranges, its error codes, and uploads."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class HubServer(ThreadingHTTPServer):
    """`repos[repo][revision][file] = bytes`; what stands beside it makes single repositories and files misbehave."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.cut: dict[str, list[int]] = {}  # file -> bytes to send before the connection is cut, one for each request
        self.damaged: set[str] = set()  # files whose bytes arrive changed, at the right length
        self.statuses: dict[str, int] = {}  # repository -> the status that it answers everything with; 0: no answer
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.commits: dict[str, list[dict]] = {}
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit_of(self, repo: str, revision: str) -> str:
        return hashlib.sha1(repr((repo, sorted(self.repos[repo][revision].items()))).encode()).hexdigest()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self._resolve(body=False)

    def do_GET(self):
        self._resolve(body=True)

    def _resolve(self, body: bool) -> None:
        self.server.requests.append((self.command, unquote(self.path), _lower(self.headers)))
        repo, _, rest = unquote(self.path).strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if repo in self.server.statuses:
            self.close_connection = not self.server.statuses[repo]
            return None if self.close_connection else self._refuse(self.server.statuses[repo], "")
        if repo not in self.server.repos:
            return self._refuse(404, "RepoNotFound")
        if repo in self.server.gated and self.headers.get("Authorization") != "Bearer secret":
            return self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        revisions = self.server.repos[repo]
        by_commit = {self.server.commit_of(repo, name): name for name in revisions}
        revision = by_commit.get(revision, revision)
        if revision not in revisions:
            return self._refuse(404, "RevisionNotFound")
        commit = {"X-Repo-Commit": self.server.commit_of(repo, revision)}
        if file not in revisions[revision]:
            return self._refuse(404, "EntryNotFound", commit)
        data = revisions[revision][file]
        etag = hashlib.sha256(data) if file.endswith((".safetensors", ".bin")) else hashlib.sha1(data)
        if file in self.server.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        for key, value in {**commit, "ETag": f'"{etag.hexdigest()}"', "Accept-Ranges": "bytes"}.items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if body:
            cut = self.server.cut.get(file)
            if cut:
                self.wfile.write(data[start : start + cut.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(data[start:])

    def do_POST(self):
        self.server.requests.append((self.command, unquote(self.path), _lower(self.headers)))
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer secret":
            return self._refuse(401, "")
        if self.path == "/api/repos/create":
            name = json.loads(content)["name"]
            return self._answer({"url": f"{self.server.url}/me/{name}", "name": f"me/{name}"})
        if self.path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        repo = self.path.removeprefix("/api/models/").rpartition("/")[0].rpartition("/")[0]
        if "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(content)["files"]]
            return self._answer({"files": [{**file, "shouldIgnore": False, "oid": None} for file in files]})
        lines = [json.loads(line) for line in content.splitlines()]
        for line in lines:
            if line["key"] == "file":
                line["value"]["content"] = base64.b64decode(line["value"]["content"])
        self.server.commits[repo] = lines
        return self._answer({"success": True, "commitUrl": f"{self.server.url}/{repo}/commit/1", "commitOid": "1" * 40})

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"X-Error-Code": code, "Content-Length": "0", **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()

    def _answer(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _lower(headers) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}
