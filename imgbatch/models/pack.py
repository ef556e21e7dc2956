"""A pack of several networks in one zip file enters; the folder of its files leaves, verified.

The folder is `<root>/models/<name>`, where InsightFace looks for a pack when it is given the root.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from typing import TYPE_CHECKING

from imgbatch.errors import WeightsError
from imgbatch.models import cache
from imgbatch.models.weights import Wanted, fetch, file_of

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 2**20


def fetch_pack(wanted: Wanted) -> Path:
    """Return the folder with the files of a pack, such as `det_10g.onnx`.

    Folders within the zip file are left out: some packs have one, some none.

    Raises:
        WeightsError: it cannot be had, is not what it should be, or is no zip file.
    """
    archive = fetch(wanted)
    folder = cache.path_of(file_of(wanted)).parent / "models" / archive.stem
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened)
            if not _unpacked(members, folder):
                with cache.writing(folder) as begun:
                    # Another process may have unpacked it while this one waited.
                    if not _unpacked(members, folder):
                        _unpack(opened, members, begun, folder)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{archive.name} is no zip file: {error}") from error
    return folder


def _members(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found = [member for member in opened.infolist() if not member.is_dir()]
    return {member.filename.rpartition("/")[2]: member for member in found}


def _unpacked(members: dict[str, zipfile.ZipInfo], folder: Path) -> bool:
    """Return whether each file is there as the archive, which is verified, has it."""
    return all(_same(folder / name, member) for name, member in members.items())


def _same(path: Path, member: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    found = 0
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            found = zlib.crc32(chunk, found)
    return found == member.CRC


def _unpack(
    opened: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], begun: Path, folder: Path
) -> None:
    for gone in (begun, folder):
        shutil.rmtree(gone, ignore_errors=True)
    begun.mkdir()
    for name, member in members.items():
        with opened.open(member) as packed, (begun / name).open("wb") as written:
            shutil.copyfileobj(packed, written, CHUNK)
    begun.replace(folder)
