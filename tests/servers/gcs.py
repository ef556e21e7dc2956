"""A server that answers like Google Cloud Storage: `python tests/servers/gcs.py PORT [PAGE]`.

What it keeps of the real one: preconditions are honoured, looked at and acted on in one step
(x-goog-if-generation-match in the XML API, which obstore and delta-rs speak, and
ifGenerationMatch in the JSON API, which google-cloud-storage speaks); generations only grow;
listings come in pages, in order of names, and show what is there at once; ranges, also behind the
end; versioning keeps former generations; error bodies have Google's codes; ETags of the XML API are
MD5s, but where a bucket has a key of the customer's own. When a test says so (POST /_fake) it is
out, or asks for tokens; it issues them to requests that a service account signs, and does not look
at the signature. Or it answers some of its calls with 503, drawn by a seed: of these it has done
every second one nonetheless, as a server has whose answer is lost on its way.

What it is not: signatures, permissions, quotas, eventual anything, resumable uploads, soft
delete, composed objects. A bucket exists once it was made (POST /storage/v1/b).

Decision, 2026-11: our own. The emulator on PyPI takes preconditions and ignores them: whatever
commits by them would look right there and be wrong. Drawback: it is as right as we read Google's
documents; `tests/live` runs the same suite on a real bucket.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

STAMP = "2026-11-21T08:00:00.000Z"
# The JSON API has no codes; what it says instead.
WORDS = {"NoSuchBucket": "The specified bucket does not exist."}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Version:
    name: str
    data: bytes
    generation: int
    kind: str = "application/octet-stream"
    deleted: bool = False
    key: str = ""

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data + self.key.encode()).hexdigest()}"'


@dataclass
class Bucket:
    versioning: bool = False
    settings: dict = field(default_factory=dict)
    here: dict[str, Version] = field(default_factory=dict)
    former: list[Version] = field(default_factory=list)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)


class State:
    def __init__(self, page: int) -> None:
        self.lock = threading.RLock()
        self.page = page
        self.buckets: dict[str, Bucket] = {}
        self.generations = itertools.count(time.time_ns() // 1000)
        self.numbers = itertools.count(1)
        self.tokens: dict[str, float] = {}
        self.asks_tokens = False
        self.out = False
        self.token_seconds = 3600
        self.fail = 0.0
        self.failed = 0
        self.chance = random.Random()

    def draw(self) -> Literal["", "undone", "done"]:
        """Return how the next call fails, if it does."""
        with self.lock:
            if self.chance.random() >= self.fail:
                return ""
            self.failed += 1
            return "done" if self.failed % 2 else "undone"

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refused(404, "NoSuchBucket")
        return self.buckets[name]

    def find(self, bucket: str, name: str, generation: str = "") -> Version:
        place = self.bucket(bucket)
        kept = [*place.here.values(), *place.former] if generation else []
        found = next((v for v in kept if (v.name, str(v.generation)) == (name, generation)), None)
        found = found if generation else place.here.get(name)
        if found is None:
            raise Refused(404, "NoSuchKey")
        return found

    def write(self, bucket: str, name: str, data: bytes, expected: str, kind: str) -> Version:
        with self.lock:
            place = self.bucket(bucket)
            self._expect(place, name, expected)
            self._retire(place, name)
            key = place.settings.get("encryption", {}).get("defaultKmsKeyName", "")
            place.here[name] = Version(name, data, next(self.generations), kind, key=key)
            return place.here[name]

    def delete(self, bucket: str, name: str, generation: str, expected: str) -> None:
        with self.lock:
            place = self.bucket(bucket)
            found = self.find(bucket, name, generation)
            self._expect(place, name, expected)
            if generation:
                place.former = [v for v in place.former if v is not found]
                if place.here.get(name) is found:
                    del place.here[name]
            else:
                self._retire(place, name)

    def _expect(self, place: Bucket, name: str, expected: str) -> None:
        now = place.here[name].generation if name in place.here else 0
        if expected and int(expected) != now:
            raise Refused(412, "PreconditionFailed")

    def _retire(self, place: Bucket, name: str) -> None:
        if name in place.here and place.versioning:
            place.here[name].deleted = True
            place.former.append(place.here[name])
        place.here.pop(name, None)

    def listed(self, bucket: str, prefix: str, after: str, delimiter: str, limit: int) -> tuple:
        """Return objects, prefixes, and the name to go on after, of one page."""
        objects: list[Version] = []
        prefixes: list[str] = []
        with self.lock:
            names = sorted(n for n in self.bucket(bucket).here if n.startswith(prefix))
            for name in names:
                rest = name[len(prefix) :]
                cut = rest.find(delimiter) if delimiter else -1
                shown = prefix + rest[: cut + 1] if cut >= 0 else name
                if shown <= after or (prefixes and shown == prefixes[-1]):
                    continue
                if len(objects) + len(prefixes) == min(limit, self.page):
                    last = max([o.name for o in objects] + prefixes)
                    return objects, prefixes, last
                if cut >= 0:
                    prefixes.append(shown)
                else:
                    objects.append(self.buckets[bucket].here[name])
        return objects, prefixes, ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # head and body in one packet
    state: State

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        self.body = self._read()
        self.fate: Literal["", "undone", "done"] = ""
        parts = urlsplit(self.path)
        self.query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        json_api = "/storage/v1/" in parts.path
        try:
            if parts.path == "/_fake":
                self._configure()
            elif parts.path == "/token":
                self._token()
            else:
                self._admit()
                if json_api:
                    self._json_api(parts.path)
                else:
                    self._xml_api(parts.path)
        except Refused as refused:
            self._refuse(refused, as_json=json_api)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any  # noqa: N815 - so it is called

    def _read(self) -> bytes:
        """Return the body; Google's library for Go, which Terraform has, sends it in pieces."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        if self.fate == "done":
            status, body, headers = 503, b"", {}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, said: object, status: int = 200) -> None:
        self.answer(status, json.dumps(said).encode(), Content_Type="application/json")

    def _refuse(self, refused: Refused, *, as_json: bool) -> None:
        if as_json:
            words = WORDS.get(refused.code, refused.code)
            said = {"error": {"code": refused.status, "message": words}}
            self.answer_json(said, refused.status)
            return
        body = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code></Error>"
        self.answer(refused.status, body.encode(), Content_Type="application/xml")

    # --- who asks ---

    def _configure(self) -> None:
        said = json.loads(self.body)
        self.state.asks_tokens = said.get("tokens", self.state.asks_tokens)
        self.state.out = said.get("out", self.state.out)
        self.state.token_seconds = said.get("token_seconds", self.state.token_seconds)
        if said.get("revoke"):
            self.state.tokens.clear()
        if "fail" in said:
            self.state.fail, self.state.failed = said["fail"], 0
            self.state.chance = random.Random(said.get("seed", 0))
        self.answer_json({"issued": len(self.state.tokens), "failed": self.state.failed})

    def _token(self) -> None:
        if not _claims(parse_qs(self.body.decode())["assertion"][0]).get("scope"):
            raise Refused(400, "invalid_scope")
        seconds = self.state.token_seconds
        token = f"issued-{next(self.state.numbers)}"
        self.state.tokens[token] = time.monotonic() + seconds
        self.answer_json({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})

    def _admit(self) -> None:
        self.fate = self.state.draw()
        if self.state.out or self.fate == "undone":
            raise Refused(503, "ServiceUnavailable")
        if not self.state.asks_tokens:
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        # A service account may also sign by itself, for each request.
        signed = token.count(".") == 2 and _claims(token)["exp"] > time.time()
        if not signed and self.state.tokens.get(token, 0) < time.monotonic():
            raise Refused(401, "AuthenticationRequired")

    # --- XML API: what obstore and delta-rs speak ---

    def _xml_api(self, path: str) -> None:
        bucket, _, name = path.lstrip("/").partition("/")
        bucket, name = unquote(bucket), unquote(name)
        if not name:
            self._xml_list(bucket)
        elif "uploads" in self.query or "uploadId" in self.query:
            self._xml_upload(bucket, name)
        elif self.command in ("GET", "HEAD"):
            self._send(self.state.find(bucket, name, self.query.get("generation", "")))
        elif self.command == "PUT":
            self._xml_put(bucket, name)
        else:
            self.state.delete(bucket, name, self.query.get("generation", ""), self._expected())
            self.answer(204)

    def _expected(self) -> str:
        return self.headers.get("x-goog-if-generation-match") or ""

    def _xml_put(self, bucket: str, name: str) -> None:
        data = self.body
        if origin := self.headers.get("x-goog-copy-source"):
            there, _, source = origin.lstrip("/").partition("/")
            data = self.state.find(there, unquote(source)).data
        kind = self.headers.get("Content-Type") or "application/octet-stream"
        made = self.state.write(bucket, name, data, self._expected(), kind)
        said = f"<CopyObjectResult><ETag>{escape(made.etag)}</ETag></CopyObjectResult>"
        self.answer(200, said.encode() if origin else b"", **self._marks(made))

    @staticmethod
    def _marks(version: Version) -> dict[str, str]:
        return {"ETag": version.etag, "x-goog-generation": str(version.generation)}

    def _send(self, version: Version) -> None:
        marks = self._marks(version) | {"Content_Type": version.kind, "Accept_Ranges": "bytes"}
        marks["Last_Modified"] = "Sat, 21 Nov 2026 08:00:00 GMT"
        wanted = RANGE.fullmatch(self.headers.get("Range") or "")
        size = len(version.data)
        if not wanted:
            self.answer(200, version.data, **marks)
            return
        first, last = wanted.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start >= size:
            raise Refused(416, "InvalidRange")
        marks["Content_Range"] = f"bytes {start}-{end}/{size}"
        self.answer(206, version.data[start : end + 1], **marks)

    def _xml_list(self, bucket: str) -> None:
        query = self.query
        after = query.get("continuation-token") or query.get("start-after") or ""
        limit = int(query.get("max-keys") or 1000)
        found, prefixes, more = self.state.listed(
            bucket, query.get("prefix", ""), after, query.get("delimiter", ""), limit
        )
        rows = [
            f"<Contents><Key>{escape(o.name)}</Key><Generation>{o.generation}</Generation>"
            f"<LastModified>{STAMP}</LastModified><ETag>{escape(o.etag)}</ETag>"
            f"<Size>{len(o.data)}</Size></Contents>"
            for o in found
        ]
        rows += [f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in prefixes]
        token = f"<NextContinuationToken>{escape(more)}</NextContinuationToken>" if more else ""
        body = f"<?xml version='1.0'?><ListBucketResult>{token}{''.join(rows)}</ListBucketResult>"
        self.answer(200, body.encode(), Content_Type="application/xml")

    def _xml_upload(self, bucket: str, name: str) -> None:
        uploads = self.state.bucket(bucket).uploads
        if "uploads" in self.query:
            number = f"upload-{next(self.state.numbers)}"
            uploads[number] = {}
            said = f"<UploadId>{number}</UploadId>"
            body = f"<InitiateMultipartUploadResult>{said}</InitiateMultipartUploadResult>"
            self.answer(200, body.encode())
            return
        parts = uploads.get(self.query["uploadId"])
        if parts is None:
            raise Refused(404, "NoSuchUpload")
        if self.command == "PUT":
            parts[int(self.query["partNumber"])] = self.body
            self.answer(200, ETag=f'"{hashlib.md5(self.body).hexdigest()}"')
        elif self.command == "DELETE":
            del uploads[self.query["uploadId"]]
            self.answer(204)
        else:
            data = b"".join(parts[number] for number in sorted(parts))
            made = self.state.write(bucket, name, data, self._expected(), "binary/octet-stream")
            del uploads[self.query["uploadId"]]
            tag = f"<ETag>{escape(made.etag)}</ETag>"
            body = f"<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>"
            self.answer(200, body.encode(), **self._marks(made))

    # --- JSON API: what google-cloud-storage speaks ---

    def _json_api(self, path: str) -> None:
        words = path.partition("/storage/v1/")[2].split("/")
        bucket, rest = (unquote(words[1]), words[2:]) if len(words) > 1 else ("", [])
        if not bucket:
            self._json_make()
        elif not rest:
            self._json_bucket(bucket)
        elif rest[:2] == ["iam", "testPermissions"]:
            asked = parse_qs(urlsplit(self.path).query).get("permissions", [])
            self.state.bucket(bucket)
            self.answer_json({"permissions": asked})
        elif len(rest) == 1:
            if self.command == "POST":
                self._json_upload(bucket)
            else:
                self._json_list(bucket)
        else:
            self._json_object(bucket, unquote("/".join(rest[1:])))

    def _json_make(self) -> None:
        said = json.loads(self.body)
        with self.state.lock:
            if said["name"] in self.state.buckets:
                raise Refused(409, "conflict")
            versioning = bool(said.get("versioning", {}).get("enabled"))
            self.state.buckets[said["name"]] = Bucket(versioning, said)
        self.answer_json({"kind": "storage#bucket", **said})

    def _json_bucket(self, name: str) -> None:
        bucket = self.state.bucket(name)
        if self.command == "DELETE":
            del self.state.buckets[name]
            self.answer(204)
            return
        if self.command == "PATCH":
            bucket.settings |= json.loads(self.body)
            bucket.versioning = bool(bucket.settings.get("versioning", {}).get("enabled"))
        self.answer_json({"kind": "storage#bucket", "name": name, **bucket.settings})

    def _json_list(self, bucket: str) -> None:
        query, state = self.query, self.state
        with state.lock:
            place = state.bucket(bucket)
            kept = [*place.here.values()]
            kept += place.former if query.get("versions", "").lower() == "true" else []
            prefix, start = query.get("prefix", ""), query.get("startOffset", "")
            end = query.get("endOffset") or chr(sys.maxunicode)
            found = sorted(
                (v for v in kept if v.name.startswith(prefix) and start <= v.name < end),
                key=lambda v: (v.name, v.generation),
            )
        first = int(query.get("pageToken") or 0)
        next_one = first + min(int(query.get("maxResults") or 1000), state.page)
        said = {
            "kind": "storage#objects",
            "items": [_resource(bucket, v) for v in found[first:next_one]],
        }
        self.answer_json(said | ({"nextPageToken": str(next_one)} if next_one < len(found) else {}))

    def _json_object(self, bucket: str, name: str) -> None:
        generation = self.query.get("generation", "")
        if self.command == "DELETE":
            self.state.delete(bucket, name, generation, self.query.get("ifGenerationMatch", ""))
            self.answer(204)
            return
        found = self.state.find(bucket, name, generation)
        if self.query.get("ifGenerationMatch", str(found.generation)) != str(found.generation):
            raise Refused(412, "conditionNotMet")
        if self.query.get("alt") == "media":
            self._send(found)
        else:
            self.answer_json(_resource(bucket, found))

    def _json_upload(self, bucket: str) -> None:
        mark = b"--" + self.headers["Content-Type"].partition("boundary=")[2].strip("\"'").encode()
        pieces = self.body.split(mark)
        about, data = (
            piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:3]
        )
        said = json.loads(about)
        name = said.get("name") or self.query["name"]
        expected = self.query.get("ifGenerationMatch", "")
        kind = said.get("contentType") or "application/octet-stream"
        self.answer_json(_resource(bucket, self.state.write(bucket, name, data, expected, kind)))


def _claims(token: str) -> dict:
    """Return what a signed token says; its signature is not looked at."""
    said = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))


def _resource(bucket: str, version: Version) -> dict[str, object]:
    md5 = base64.b64encode(hashlib.md5(version.data).digest()).decode()
    said: dict[str, object] = {
        "kind": "storage#object",
        "bucket": bucket,
        "name": version.name,
        "generation": str(version.generation),
        "metageneration": "1",
        "size": str(len(version.data)),
        "md5Hash": md5,
        "etag": base64.b64encode(str(version.generation).encode()).decode(),
        "contentType": version.kind,
        "timeCreated": STAMP,
        "updated": STAMP,
    }
    said |= {"kmsKeyName": version.key} if version.key else {}
    return said | ({"timeDeleted": STAMP} if version.deleted else {})


def main() -> None:
    port, page = int(sys.argv[1]), int((sys.argv[2:] or ["1000"])[0])
    Handler.state = State(page)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
