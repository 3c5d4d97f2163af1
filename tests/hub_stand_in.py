"""A Hub on loopback: the calls that huggingface_hub, transformers and datasets make, and nothing else.

Repositories are in memory.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_dummy"
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
API = re.compile(
    r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit|paths-info)/([^/]+)(?:/(.*))?)?"
)
RESOLVE = re.compile(r"/(datasets/|spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
LFS = re.compile(r"/(datasets/|spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


class Hub(ThreadingHTTPServer):
    """The state of the stand-in.

    Attributes: ``repos``, (kind, id) -> {"private", "commits": {sha: {path: bytes}}, "head"}; ``drops``, how many of
    the next
    commits lose their connection half way; ``answers``, the statuses with which the next commits are refused;
    ``requests``, what was asked.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos, self.objects, self.drops, self.answers, self.requests = {}, {}, 0, [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def files(self, repo_id: str, kind: str = "model") -> dict[str, bytes]:
        repo = self.repos[kind, repo_id]
        return repo["commits"][repo["head"]]

    def commit(self, repo: dict, files: dict[str, bytes]) -> str:
        repo["head"] = hashlib.sha1(f"{len(repo['commits'])}{sorted(files)}".encode()).hexdigest()
        repo["commits"][repo["head"]] = files
        return repo["head"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status: int, body=b"", **headers) -> None:
        if not isinstance(body, bytes):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def repo(self, kind: str, repo_id: str) -> dict | None:
        repo = self.server.repos.get((kind, repo_id))
        return repo if repo and (self.trusted() or not repo["private"]) else None

    def trusted(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if found := RESOLVE.fullmatch(path):
            return self.resolve(KINDS[(found[1] or "models/")[:-1]], *found.groups()[1:])
        if not (found := API.fullmatch(path)):
            return self.refuse(404, "NotFound")
        kind, repo_id, what, revision, inside = found.groups()
        if (repo := self.repo(KINDS[kind], repo_id)) is None:
            return self.refuse(401 if not self.trusted() else 404, "RepoNotFound")
        sha = repo["head"] if revision in (None, "main") else revision
        if sha not in repo["commits"]:
            return self.refuse(404, "RevisionNotFound")
        files = repo["commits"][sha]
        if what == "tree":
            return self.tree(files, f"{inside}/" if inside else "", "recursive=true" in self.path.lower())
        about = {
            "_id": sha[:24],
            "id": repo_id,
            "modelId": repo_id,
            "sha": sha,
            "private": repo["private"],
            "tags": [],
            "downloads": 0,
        }
        siblings = [{"rfilename": name} for name in sorted(files)]
        return self.answer(200, about | {"siblings": siblings, "lastModified": "2026-01-01T00:00:00.000Z"})

    do_HEAD = do_GET

    def tree(self, files: dict[str, bytes], inside: str, recursive: bool) -> None:
        below = {name: data for name, data in files.items() if name.startswith(inside)}
        if not below:
            return self.refuse(404, "EntryNotFound")
        folders = {
            name[: len(inside) + at] for name in below for at, letter in enumerate(name[len(inside) :]) if letter == "/"
        }
        entries = [_folder(name) for name in sorted(folders)] + [
            _entry(name, data) for name, data in sorted(below.items())
        ]
        return self.answer(200, [entry for entry in entries if recursive or "/" not in entry["path"][len(inside) :]])

    def resolve(self, kind: str, repo_id: str, revision: str, name: str) -> None:
        if (repo := self.repo(kind, repo_id)) is None:
            return self.refuse(401 if not self.trusted() else 404, "RepoNotFound")
        sha = repo["head"] if revision == "main" else revision
        if sha not in repo["commits"]:
            return self.refuse(404, "RevisionNotFound")
        if (data := repo["commits"][sha].get(name)) is None:
            return self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
        headers = {"ETag": f'"{_oid(data)}"', "X_Repo_Commit": sha, "Accept_Ranges": "bytes"}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2] or len(data) - 1), len(data) - 1)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
            return self.answer(206, data[first : last + 1], **headers)
        return self.answer(200, data, **headers)

    def do_POST(self):
        path, size = unquote(urlsplit(self.path).path), int(self.headers.get("Content-Length", 0))
        self.server.requests.append(f"POST {path}")
        if self.server.drops and "/commit/" in path:
            self.server.drops -= 1
            self.rfile.read(size // 2)
            self.close_connection = True
            return self.connection.close()
        body = self.body(size)
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        found = API.fullmatch(path)
        if found and found[3] == "paths-info" and (repo := self.repo(KINDS[found[1]], found[2])):
            sha = repo["head"] if found[4] == "main" else found[4]
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            files = repo["commits"][sha]
            found = [_entry(name, files[name]) for name in asked if name in files]
            found += [_folder(name) for name in asked if any(file.startswith(name + "/") for file in files)]
            return self.answer(200, found)
        if not self.trusted():
            return self.refuse(401, "Invalid credentials")
        if self.server.answers and "/commit/" in path:
            return self.refuse(self.server.answers.pop(0), "Not now")
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if LFS.fullmatch(path):
            objects = json.loads(body)["objects"]
            upload = {entry["oid"]: {"upload": {"href": f"{self.server.url}/lfs/{entry['oid']}"}} for entry in objects}
            return self.answer(
                200, {"objects": [entry | {"actions": upload[entry["oid"]]} for entry in objects], "transfer": "basic"}
            )
        if found is None or (repo := self.repo(KINDS[found[1]], found[2])) is None:
            return self.refuse(404, "RepoNotFound")
        if found[3] == "preupload":
            files = [
                {
                    "path": entry["path"],
                    "uploadMode": "lfs" if entry["size"] > 50_000 else "regular",
                    "shouldIgnore": False,
                }
                for entry in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        files = dict(repo["commits"][repo["head"]])
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            if line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.server.objects[line["value"]["oid"]]
        sha = self.server.commit(repo, files)
        return self.answer(
            200, {"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{found[2]}/commit/{sha}"}
        )

    def create(self, asked: dict) -> None:
        repo_id, kind = f"{asked['organization']}/{asked['name']}", asked.get("type") or "model"
        url = {"url": f"{self.server.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}", "name": repo_id}
        if (kind, repo_id) in self.server.repos:
            return self.answer(409, url | {"error": "You already created this repo"})
        repo = self.server.repos[kind, repo_id] = {
            "private": bool(asked.get("private")) or asked.get("visibility") == "private",
            "commits": {},
        }
        self.server.commit(repo, {".gitattributes": b""})
        return self.answer(200, url)

    def do_PUT(self):
        self.server.requests.append(f"PUT {self.path}")
        self.server.objects[self.path.removeprefix("/lfs/")] = self.body(int(self.headers.get("Content-Length", 0)))
        self.answer(200)

    def body(self, size: int) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(size)
        read = b""
        while length := int(self.rfile.readline(), 16):
            read += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return read


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _folder(name: str) -> dict:
    return {"type": "directory", "path": name, "oid": _oid(name.encode()), "size": 0}


def _entry(name: str, data: bytes) -> dict:
    return {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
