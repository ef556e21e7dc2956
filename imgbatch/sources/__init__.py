"""What can be listed, and how its bytes are had: folders, prefixes, single objects, archives.

`open_input` and `list_sources` give Sources; `fetch` gives the bytes of one; `read_stream` those
of a compressed tar in one pass. A member's address is `ARCHIVE!/NAME`.
"""

from imgbatch.sources.fetch import fetch, patience
from imgbatch.sources.listing import Known, list_sources, open_input
from imgbatch.sources.names import (
    archive_form,
    claims_media,
    claims_video,
    is_apple_double,
    is_sidecar,
)
from imgbatch.sources.streams import read_stream

__all__ = [
    "Known",
    "archive_form",
    "claims_media",
    "claims_video",
    "fetch",
    "is_apple_double",
    "is_sidecar",
    "list_sources",
    "open_input",
    "patience",
    "read_stream",
]
