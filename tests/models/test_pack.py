"""A pack is unpacked once, whole, and nowhere else."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import WeightsError
from imgbatch.models.audit import audit
from imgbatch.models.pack import fetch_pack
from imgbatch.models.weights import Own

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("told")
FILES = {"det.onnx": b"a detector" * 999, "rec.onnx": b"a recogniser" * 999}


def packed(folder: Path, files: dict[str, bytes]) -> Own:
    path = folder / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return Own(url=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("top", ["", "tiny/"])
def test_a_pack_is_unpacked_where_insightface_looks_for_it(tmp_path: Path, top: str) -> None:
    folder = fetch_pack(packed(tmp_path, {top + name: data for name, data in FILES.items()}))
    assert folder.parts[-2:] == ("models", "tiny")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


def test_a_file_of_a_pack_that_is_damaged_or_gone_is_unpacked_anew(tmp_path: Path) -> None:
    wanted = packed(tmp_path, FILES)
    folder = fetch_pack(wanted)
    (folder / "det.onnx").write_bytes(b"A detector" * 999)
    (folder / "rec.onnx").unlink()
    assert fetch_pack(wanted) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


@pytest.mark.parametrize("name", ["../det.onnx", "a/../../det.onnx"])
def test_a_pack_whose_paths_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="leads elsewhere"):
        fetch_pack(packed(tmp_path, {name: b"x", "b.onnx": b"y"}))
    assert not list(tmp_path.rglob("det.onnx"))


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no file"):
        fetch_pack(packed(tmp_path, {}))
    path = tmp_path / "text.zip"
    path.write_bytes(b"no zip file")
    with pytest.raises(WeightsError, match="is no zip file"):
        fetch_pack(Own(url=str(path), sha256=hashlib.sha256(b"no zip file").hexdigest()))
    assert list(audit()) == []


def test_a_pack_that_zipfile_cannot_unpack_is_told(tmp_path: Path) -> None:
    wanted = packed(tmp_path, {"det.onnx": b"a detector" * 999})
    path = tmp_path / "tiny.zip"
    whole = path.read_bytes()
    locked = bytearray(whole)
    locked[6] |= 1  # the flags of a member, in front of it and in the directory
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    torn = bytearray(whole)
    torn[whole.index(b"det.onnx") + 8] ^= 0xFF
    for data, told in ((locked, "without a password"), (torn, "Pack it anew")):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"tiny\.zip") as caught:
            fetch_pack(Own(url=wanted.url, sha256=hashlib.sha256(data).hexdigest()))
        assert told in caught.value.remedy
