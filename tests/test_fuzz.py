"""2,000 damaged files through the whole program: no crash, and one outcome each.

The run is one process of its own, so that a crash inside a codec ends it and is seen. In several
it would be survived: its file is quarantined, and the run exits with 0.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from tests.media import clips, samples

if TYPE_CHECKING:
    from pathlib import Path

FILES = 2000
TABLES = ("image", "quality", "color", "hashes", "classic", "motion", "shots")
RECIPE = "[media]\nmin_side = 64\n" + "".join(f"[analyzers.{name}]\n" for name in TABLES)
RECIPE += '[analyzers.faces]\ndetector = "lbp"\n'
ENDINGS = {"jpeg": "jpg", "heif": "heic", "jpeg2000": "jp2"}


def seeds() -> dict[str, bytes]:
    """Small whole files of every kind, by name with the usual extension."""
    pictures = samples.every_format(samples.noise(wide=64, high=48))
    found = {
        f"{name}.{ENDINGS.get(name.partition('-')[0], name.partition('-')[0])}": data
        for name, data in pictures.items()
    }
    found["h264.mp4"] = clips.clip(clips.Encoding("mp4", "libx264", frames=30))
    found["mpeg4.avi"] = clips.clip(clips.Encoding("avi", "mpeg4", frames=30))
    found["vp9.webm"] = clips.clip(clips.Encoding("webm", "libvpx-vp9", "cpu-used=8", frames=12))
    members = {"a.jpg": pictures["jpeg"], "b.png": pictures["png"], "c.txt": b"text"}
    found["members.zip"] = zipped(members)
    found["members.tar"] = tarred(members, "w:")
    found["members.tar.gz"] = tarred(members, "w:gz")
    found["members.tar.xz"] = tarred(members, "w:xz")
    return found


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload] # a mode by name
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def damaged(whole: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """One of the ways in which files go wrong."""
    data = bytearray(whole)
    kind = draw.choice(["cut", "flip", "flip", "hole", "header", "random", "splice", "grow"])
    place = draw.randrange(len(data))
    if kind == "cut":
        del data[place:]
    elif kind == "flip":
        for _ in range(draw.choice([1, 4, 40])):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == "hole":
        data[place : place + draw.randrange(1, 500)] = bytes(draw.randrange(1, 500))
    elif kind == "header":
        head = draw.randrange(4, 200)
        data[:head] = draw.choice(others)[:head]
    elif kind == "random":
        data[:] = draw.randbytes(draw.randrange(0, 5000))
    elif kind == "splice":
        other = draw.choice(others)
        data[place:] = other[draw.randrange(len(other)) :]
    else:
        data[place:place] = b"\xff" * draw.randrange(1, 3000)
    return bytes(data)


@pytest.mark.slow
def test_two_thousand_damaged_files_come_to_one_outcome_each(tmp_path: Path) -> None:
    draw = random.Random(20261121)
    whole = seeds()
    (tmp_path / "corpus").mkdir()
    for number in range(FILES):
        name, data = draw.choice(list(whole.items()))
        stem, _, ending = name.partition(".")
        path = tmp_path / "corpus" / f"{number:04}-{stem}.{ending}"
        path.write_bytes(damaged(data, list(whole.values()), draw))
    (tmp_path / "r.toml").write_text(RECIPE)
    words = [tmp_path / "corpus", tmp_path / "d", "--recipe", tmp_path / "r.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", "run", *words, "--engine", "inline", "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # libtiff writes a line of its own for some damaged TIFFs; nothing else may.
    assert not any(word in done.stderr for word in ("Warning", "Traceback", "Exception"))
    dataset = Dataset.open(str(tmp_path / "d"))
    found = verify(dataset)
    assert found.problems == []
    rows = dataset.read("sources", columns=["address", "error_class", "status"]).to_pylist()
    plain = [r for r in rows if "!/" not in r["address"]]
    assert len({r["address"] for r in plain}) == len(plain) == FILES
    classes = Counter(r["error_class"] for r in rows if r["status"] == "failed")
    # `unexpected` would be an exception that no decoder's author thought of.
    assert classes["decode.unexpected"] == 0, classes
    assert {"decode.truncated", "decode.corrupt", "decode.unrecognised"} <= set(classes)
    assert not any(code.startswith("poison.") for code in classes), classes
    for table in (*TABLES, "faces"):
        errors = dataset.read(table, columns=["error_class"])["error_class"]
        assert errors.null_count == len(errors), table
