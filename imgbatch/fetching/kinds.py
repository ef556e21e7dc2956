"""The first bytes of a file enter; whether it is an image or a video, and its ending, leave."""

from __future__ import annotations

from imgbatch.errors import LinkError
from imgbatch.media.containers import demuxer_of
from imgbatch.media.sniff import format_of, unreadable_format_of

HEAD_BYTES = 4096
IMAGES = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "TIFF": "tif",
    "JPEG2000": "jp2",
    "WEBP": "webp",
    "BMP": "bmp",
    "AVIF": "avif",
    "HEIF": "heic",
    "PPM": "ppm",
    "JPEG XL": "jxl",
    "JPEG XR": "jxr",
    "Photoshop": "psd",
    "camera raw": "raf",
}
VIDEOS = {
    "matroska": "mkv",
    "mpeg": "mpg",
    "mpegvideo": "mpg",
    "asf": "wmv",
    "ogg": "ogv",
    "mov": "mp4",
    "mpegts": "ts",
}
SHOWN = 16


def kind_of(head: bytes, said: str) -> tuple[str, str]:
    """Return (`image` or `video`, ending of its name) by what the bytes are.

    Args:
        head: the first 4096 bytes, or all if there are fewer.
        said: the Content-Type, for the message.

    Raises:
        LinkError: link.empty, or link.type where it is neither.
    """
    if not head:
        raise LinkError("link.empty", "an answer without a byte")
    image = format_of(head) or unreadable_format_of(head)
    if image:
        return "image", IMAGES[image]
    video = demuxer_of(head)
    if video == "matroska" and b"webm" in head[:64]:
        return "video", "webm"
    if video:
        return "video", VIDEOS.get(video, video)
    what = f"says {said[:60]!r}, begins with {head[:SHOWN]!r}" if said else f"{head[:SHOWN]!r}"
    raise LinkError("link.type", f"neither image nor video: {what}")
