"""An S3 server that behaves as badly as its bucket's name says: `python -m ... PORT`.

A process of its own, as every server that deltalake asks must be. STS answers too, by the key id.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PICTURE = b"not quite a picture"
# status, code, message
REFUSALS = {
    "skewed": (403, "RequestTimeTooSkewed", "The difference between the request time is too large"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "unknown": (403, "InvalidAccessKeyId", "The key Id you provided does not exist"),
    "mismatch": (403, "SignatureDoesNotMatch", "The request signature does not match"),
    "elsewhere": (301, "PermanentRedirect", "Address the bucket by its endpoint"),
    "forbidden": (403, "AccessDenied", "Access Denied"),
    "missing": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "slow": (503, "SlowDown", "Please reduce your request rate."),
}
# The same for objects; the bucket can be listed.
KEPT = {
    "glacier": (403, "InvalidObjectState", "not valid for the object's storage class"),
    "keyed": (403, "AccessDenied", "anna is not authorized to perform: kms:Decrypt on the key"),
}
SKEW = {"skewed": 20 * 60, "late": 5 * 60}
# As Ceph RGW 16: blocked public access blocks all writes, versioning ends conditions.
TOUCHY = "touchy"
UNSET = {
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "lifecycle": "NoSuchLifecycleConfiguration",
}
# Where an EC2 machine asks for its role's keys.
ROLE = "latest"
REGION = "eu-central-1"
# Sees no conditions; sees no ranges; tells everything that it was sent; lists, and then does that.
BLIND, RANGELESS, ECHO, GOSSIP = "blind", "rangeless", "echo", "gossip"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes] = {}  # noqa: RUF012 - the server's state
    settings: dict[str, bytes] = {}  # noqa: RUF012 - of the bucket that has any

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        off = SKEW.get(self.bucket, 0)
        return email.utils.formatdate((timestamp or time.time()) + off, usegmt=True)

    def _take(self) -> bool:
        """Read the request; answer at once where the bucket is one that refuses."""
        parts = urlsplit(self.path)
        self.bucket, _, self.key = unquote(parts.path).lstrip("/").partition("/")
        self.query = parse_qs(parts.query, keep_blank_values=True)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.bucket == ECHO or (self.bucket == GOSSIP and self.key) or self.path == "/token":
            told = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
            text = f"Told {self._signed()} with {told} and {self.body.decode(errors='replace')}"
            # Some are refused, some fail in a way that may pass.
            refused = (500, "InternalError") if "b.jpg" in self.key else (403, "AccessDenied")
            self._error(*refused, text)
            return False
        if self.bucket in KEPT and self.key:
            self._error(*KEPT[self.bucket])
            return False
        if self.bucket in REFUSALS:
            self._error(*REFUSALS[self.bucket])
            return False
        return True

    def _signed(self) -> str:
        host = self.headers.get("Host")
        return f"http://{host}{self.path}?X-Amz-Signature=SECRETsignature0123456789abcdef"

    def do_GET(self) -> None:
        if not self._take():
            return
        if self.bucket == ROLE:
            self._role()
            return
        if self.bucket == TOUCHY and not self.key and "list-type" not in self.query:
            self._setting()
            return
        if not self.key:
            self._list()
            return
        data = self.objects.get(f"{self.bucket}/{self.key}")
        if data is None:
            self._error(404, "NoSuchKey", "There is no such key")
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found and self.bucket != RANGELESS:
            start = int(found[1])
            end = min(int(found[2] or len(data) - 1), len(data) - 1)
            head = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            self._answer(206, data[start : end + 1], head | _named(data))
            return
        self._answer(200, data, _named(data))

    do_HEAD = do_GET  # noqa: N815 - named by the library

    def do_PUT(self) -> None:
        if not self._take():
            return
        if self.bucket == ROLE:
            self._answer(
                200, b"token of the machine", {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
            )
            return
        if self.bucket == TOUCHY and not self.key:
            self.settings |= dict.fromkeys(self.query, self.body)
            self._answer(200, b"")
            return
        if self.bucket == TOUCHY and "publicAccessBlock" in self.settings:
            self._error(403, "AccessDenied", "")
            return
        name = f"{self.bucket}/{self.key}"
        there = self.objects.get(name)
        match, none = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        stale = match is not None and (there is None or match.strip('"') != _tag(there))
        if not self._blind() and (stale or (none == "*" and there is not None)):
            self._error(412, "PreconditionFailed", "At least one precondition did not hold")
            return
        self.objects[name] = self.body
        self._answer(200, b"", _named(self.body))

    def _blind(self) -> bool:
        versioned = self.bucket == TOUCHY and b"Enabled" in self.settings.get("versioning", b"")
        return versioned or self.bucket == BLIND

    def _setting(self) -> None:
        name = next(iter(self.query), "")
        if name in self.settings:
            self._answer(200, self.settings[name])
        elif name in UNSET:
            self._error(404, UNSET[name], "")
        else:
            self._answer(200, b"<VersioningConfiguration></VersioningConfiguration>")

    def do_DELETE(self) -> None:
        if not self._take():
            return
        if self.bucket == TOUCHY and not self.key:
            for one in self.query:
                self.settings.pop(one, None)
            self._answer(204, b"")
        else:
            self.objects.pop(f"{self.bucket}/{self.key}", None)
            self._answer(204, b"")

    def do_POST(self) -> None:
        if not self._take():
            return
        if "delete" in self.query:  # as obstore deletes: many at once
            keys = [key.decode() for key in re.findall(rb"<Key>([^<]+)</Key>", self.body)]
            for key in keys:
                self.objects.pop(f"{self.bucket}/{key}", None)
            done = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{done}</DeleteResult>".encode())
        elif b"GetCallerIdentity" not in self.body:
            self._error(501, "NotImplemented", "Not here")
        elif "EXPIRED" in self.headers.get("Authorization", ""):
            self._error(403, "ExpiredToken", "The security token included is expired")
        else:
            arn = "arn:aws:iam::123456789012:user/anna"
            wrapped = f"<GetCallerIdentityResult><Arn>{arn}</Arn></GetCallerIdentityResult>"
            text = f"<GetCallerIdentityResponse>{wrapped}</GetCallerIdentityResponse>"
            self._answer(200, text.encode())

    def _role(self) -> None:
        """Answer as an EC2 machine's metadata service does."""
        if not self.key.endswith("/researcher"):
            self._answer(200, b"researcher")
            return
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6 * 3600))
        keys = {
            "Code": "Success",
            "AccessKeyId": "ASIAROLEKEY00001",
            "SecretAccessKey": "roleSecretKey0123456789",
            "Token": "roleToken0123456789",
            "Expiration": until,
        }
        self._answer(200, json.dumps(keys).encode())

    def _list(self) -> None:
        prefix = f"{self.bucket}/{self.query.get('prefix', [''])[0]}"
        found = "".join(
            f"<Contents><Key>{name.partition('/')[2]}</Key><Size>{len(data)}</Size>"
            f'<ETag>"{_tag(data)}"</ETag><LastModified>2026-11-21T08:00:00.000Z</LastModified>'
            "</Contents>"
            for name, data in sorted(self.objects.items())
            if name.startswith(prefix)
        )
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        self._answer(200, text.encode())

    def _error(self, status: int, code: str, message: str) -> None:
        asked = "".join(
            f"<{name}>{self.headers.get('Authorization')}</{name}>"
            for name in ("StringToSign", "CanonicalRequest", "SignatureProvided")
        )
        text = f"<Error><Code>{code}</Code><Message>{message}</Message>{asked}</Error>"
        if not self.bucket:  # as STS wraps it
            text = f"<ErrorResponse>{text}</ErrorResponse>"
        where = {"x-amz-bucket-region": REGION} if status == 301 else {}
        self._answer(status, text.encode(), where)

    def _answer(self, status: int, data: bytes, head: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (head or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Last-Modified", "Sat, 21 Nov 2026 08:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _named(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{_tag(data)}"'}


def main() -> None:
    for bucket in ("plain", BLIND, RANGELESS, "late", *KEPT):
        Handler.objects[f"{bucket}/photos/a.jpg"] = PICTURE
    for name in ("a.jpg", "b.jpg"):
        Handler.objects[f"{GOSSIP}/photos/{name}"] = PICTURE
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
