"""A pack of several networks in one zip file enters; the folder of its files leaves, verified.

The folder is `<root>/models/<name>`, where InsightFace looks for a pack when it is given the root.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imgbatch.errors import WeightsError
from imgbatch.models import cache
from imgbatch.models.weights import Wanted, fetch, file_of

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 2**20


def fetch_pack(wanted: Wanted) -> Path:
    """Return the folder with the files of a pack, such as `det_10g.onnx`.

    Where all files of the zip file are in one folder, that folder is left out: some packs have
    one, some none.

    Raises:
        WeightsError: it cannot be had, is not what it should be, or is no zip file.
    """
    archive = fetch(wanted)
    folder = cache.path_of(file_of(wanted)).parent / "models" / archive.stem
    try:
        with zipfile.ZipFile(archive) as opened:
            if not is_unpacked(opened, folder):
                with cache.writing(folder) as begun:
                    # Another process may have unpacked it while this one waited.
                    if not is_unpacked(opened, folder):
                        _unpack(opened, begun, folder)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{archive.name} is no zip file: {error}") from error
    except (RuntimeError, zlib.error) as error:
        # So zipfile says that it is encrypted, packed in a way that it does not know, or torn.
        raise WeightsError(
            f"{archive.name} cannot be unpacked: {error}", "Pack it anew, without a password."
        ) from error
    return folder


def is_unpacked(opened: zipfile.ZipFile, folder: Path) -> bool:
    """Return whether each file is in a folder as the archive, which was verified, has it."""
    return all(_same(folder / name, member) for name, member in _members(opened).items())


def _members(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return what is in a zip file, by the path below the folder.

    Raises:
        WeightsError: a path leads out of the folder, or there is none.
    """
    found = {PurePosixPath(m.filename): m for m in opened.infolist() if not m.is_dir()}
    if not found:
        raise WeightsError(f"{opened.filename} holds no file")
    if any(path.is_absolute() or ".." in path.parts for path in found):
        raise WeightsError(f"{opened.filename}: a path in it leads elsewhere: it is not unpacked")
    tops = {path.parts[0] for path in found}
    nested = len(tops) == 1 and all(len(path.parts) > 1 for path in found)
    return {str(path.relative_to(*tops) if nested else path): m for path, m in found.items()}


def _same(path: Path, member: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    found = 0
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            found = zlib.crc32(chunk, found)
    return found == member.CRC


def _unpack(opened: zipfile.ZipFile, begun: Path, folder: Path) -> None:
    for gone in (begun, folder):
        shutil.rmtree(gone, ignore_errors=True)
    for name, member in _members(opened).items():
        (begun / name).parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as packed, (begun / name).open("wb") as written:
            shutil.copyfileobj(packed, written, CHUNK)
    begun.replace(folder)
