"""What decoding a large picture allocates, against what its gate was asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.media.samples import encoded

PIXELS = 5000 * 4000

# In a process of its own: the peak of resident memory only ever grows.
WATCH = """
import sys
from pathlib import Path
from imgbatch.media import Blob, raster
from imgbatch.media.gate import ByteGate
from imgbatch.settings import MediaSettings

class Asked(ByteGate):
    most = 0
    def hold(self, decoded_bytes):
        Asked.most = max(Asked.most, decoded_bytes)
        return super().hold(decoded_bytes)

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(l.split()[1]) * 1024 for l in lines if l.startswith(name))

def decode(path):
    return list(raster.decode(Blob.of(Path(path).read_bytes()), MediaSettings(), Asked(1)).pictures)

decode(sys.argv[1])  # loads what is loaded once
blob = Blob.of(Path(sys.argv[2]).read_bytes())
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
list(raster.decode(blob, MediaSettings(), Asked(1)).pictures)
print(status("VmHWM") - before, Asked.most)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("mode", "kind", "options", "bytes_per_pixel"),
    [
        ("RGBA", "PNG", {}, 5),
        ("P", "PNG", {}, 2),
        ("L", "PNG", {}, 2),
        ("RGB", "WEBP", {}, 17),
        ("CMYK", "TIFF", {}, 5),
        ("RGB", "JPEG", {}, 0.5),
        ("RGB", "JPEG", {"progressive": True}, 4),
    ],
)
def test_a_large_picture_needs_little_more_than_its_own_pixels(
    tmp_path: Path, mode: str, kind: str, options: dict[str, bool], bytes_per_pixel: float
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(encoded(Image.new(mode, (600, 600)), kind))
    large.write_bytes(encoded(Image.new(mode, (5000, 4000)), kind, **options))
    command = [sys.executable, "-c", WATCH, str(small), str(large)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    grown, asked = (int(word) for word in out.split())
    assert grown <= bytes_per_pixel * PIXELS
    assert grown <= asked + 2**22
