"""Whatever a decoder raises enters; a DecodeError that names what is wrong with the file leaves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image

from imgbatch.errors import DecodeError, FetchError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CUT_WORDS = ("truncat", "end of file", "broken data stream", "incomplete")
_STRANGE_WORDS = ("unsupported", "not supported", "unknown pixel mode", "not yet supported")
MAX_MESSAGE = 300


@contextmanager
def decoder_errors(what: str) -> Iterator[None]:
    """Turn every exception that hostile bytes can cause into a DecodeError.

    Pillow's plugins answer damaged files with SyntaxError, ValueError, KeyError, IndexError,
    TypeError, OverflowError, struct.error, zlib.error, EOFError, OSError, AssertionError and
    others: there is no list to catch, so everything is, but for two. MemoryError passes: the
    caller tries again when nothing else is being decoded (see `raster`). NameError and ImportError
    pass: no bytes cause them, they are bugs of ours and must not look like a broken file.

    Args:
        what: the step, for the message.

    Raises:
        DecodeError: decode.bomb, decode.truncated, decode.unsupported or decode.corrupt.
        FetchError: fetch.failed, when the operating system could not read the file: that is no
            fault of the file.
    """
    try:
        yield
    except (SourceError, MemoryError, NameError, ImportError):
        raise
    except Image.DecompressionBombError as error:
        raise DecodeError("decode.bomb", str(error)) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise FetchError("fetch.failed", f"{what}: {error}") from error
        raise DecodeError(_code(error), _message(what, error)) from error


def _code(error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, EOFError) or any(word in text for word in _CUT_WORDS):
        return "decode.truncated"
    if isinstance(error, NotImplementedError) or any(word in text for word in _STRANGE_WORDS):
        return "decode.unsupported"
    return "decode.corrupt"


def _message(what: str, error: Exception) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(error))[:MAX_MESSAGE]
    return f"{what}: {type(error).__name__}: {text}"
