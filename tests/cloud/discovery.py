"""Google's discovery documents, as its own Python client ships them: what a request may look like.

method = find("compute", "POST", "projects/p/regions/r/instanceGroupManagers/g/resize")
method.wrong(query, body)       # in words; none: Google's schema takes it
method.wrong_answer(answer)     # the same for what a stand-in is about to answer

What they do not know: which of several fields must be there, formats in strings, who may do what.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSIONS = {
    "artifactregistry": "v1",
    "cloudbilling": "v1",
    "cloudresourcemanager": "v1",
    "cloudscheduler": "v1",
    "compute": "v1",
    "iam": "v1",
    "secretmanager": "v1",
    "serviceusage": "v1",
    "storage": "v1",
}
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


@cache
def document(service: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("googleapiclient")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "discovery_cache" / "documents"
    return dict(json.loads((folder / f"{service}.{VERSIONS[service]}.json").read_bytes()))


@dataclass(frozen=True)
class Method:
    """One method of a service, and the words that its path had."""

    service: str
    spec: Mapping[str, Any]
    words: tuple[str, ...]

    @property
    def id(self) -> str:
        return str(self.spec["id"])

    def wrong(self, query: Mapping[str, list[str]], body: Any) -> list[str]:
        known = {**document(self.service)["parameters"], **self.spec.get("parameters", {})}
        found = [f"query {name}: unknown" for name in query if name not in known]
        for name, spec in known.items():
            if spec["location"] == "query":
                found += _query(name, spec, query.get(name, []))
        if "request" in self.spec:
            found += self._check(body if body is not None else {}, self.spec["request"], "body")
        elif body:
            found.append("body: there is none")
        return found

    def wrong_answer(self, answer: Any) -> list[str]:
        if "response" not in self.spec:
            return []
        return self._check(answer, self.spec["response"], "answer")

    def _check(self, value: Any, spec: Mapping[str, Any], path: str) -> list[str]:
        if "$ref" in spec:
            spec = document(self.service)["schemas"][spec["$ref"]]
        kind = spec.get("type")
        if kind == "object":
            return self._object(value, spec, path)
        if kind == "array":
            if not isinstance(value, list):
                return [f"{path}: no array"]
            each = enumerate(value)
            return [w for n, one in each for w in self._check(one, spec["items"], f"{path}[{n}]")]
        return _plain(value, spec, path) if kind in TYPES else []

    def _object(self, value: Any, spec: Mapping[str, Any], path: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{path}: no object"]
        fields, more = spec.get("properties", {}), spec.get("additionalProperties")
        found = []
        for name, one in value.items():
            place = f"{path}.{name}"
            if name not in fields and more is None:
                found.append(f"{place}: unknown field")
            else:
                found += self._check(one, fields.get(name) or more, place)
        return found


def find(service: str, verb: str, path: str) -> Method | None:
    """Return the method that a request is of; None: Google has none."""
    for spec, pattern in _methods(service):
        if spec["httpMethod"] == verb and (found := pattern.fullmatch(path)):
            return Method(service, spec, tuple(unquote(word) for word in found.groups()))
    return None


def _plain(value: Any, spec: Mapping[str, Any], path: str) -> list[str]:
    kind = spec["type"]
    # Numbers of 64 bits travel as strings.
    if not isinstance(value, TYPES[kind]) or (kind != "boolean" and isinstance(value, bool)):
        return [f"{path}: {value!r} is no {kind}"]
    if "enum" in spec and value not in spec["enum"]:
        return [f"{path}: {value!r} is none of {spec['enum']}"]
    return []


def _query(name: str, spec: Mapping[str, Any], given: list[str]) -> list[str]:
    if spec.get("required") and not given:
        return [f"query {name}: missing"]
    if len(given) > 1 and not spec.get("repeated"):
        return [f"query {name}: given twice"]
    found = []
    for value in given:
        if spec["type"] == "integer" and not re.fullmatch(r"-?\d+", value):
            found.append(f"query {name}: {value!r} is no integer")
        if spec["type"] == "boolean" and value not in ("true", "false"):
            found.append(f"query {name}: {value!r} is no boolean")
    return found


@cache
def _methods(service: str) -> list[tuple[Mapping[str, Any], re.Pattern[str]]]:
    return [(spec, _pattern(spec)) for spec in _walk(document(service))]


def _walk(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from part.get("methods", {}).values()
    for inner in part.get("resources", {}).values():
        yield from _walk(inner)


def _pattern(spec: Mapping[str, Any]) -> re.Pattern[str]:
    parts = re.split(r"\{\+?\w+\}", spec.get("flatPath") or spec["path"])
    return re.compile("([^/:]+)".join(re.escape(part) for part in parts))
