from __future__ import annotations

import json
import lzma
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# As instaloader writes what it took from the telephone's interface.
TAKEN = {
    "code": "CrAAAAAAAA7",
    "taken_at": 1683723600,
    "carousel_media": [{"media_type": 1}, {"media_type": 1}],
    "user": {"pk": 9001, "username": "ada_made_up"},
}
NODE = {
    "shortcode": "CrAAAAAAAA7",
    "id": 3000000000000000007,
    "__typename": "GraphSidecar",
    "is_video": False,
    "date": 1683723600,
    "caption": "taken from the telephone's interface",
    "title": None,
    "edge_media_preview_like": {"count": 9},
    "comments": 3,
    "iphone_struct": TAKEN,
    "display_url": "https://scontent.example.net/v/7_n.jpg",
    "edge_sidecar_to_children": {
        "edges": [
            {
                "node": {
                    "display_url": "https://scontent.example.net/v/7a_n.heic",
                    "is_video": False,
                }
            },
            {"node": {"display_url": "https://scontent.example.net/v/7b_n.jpg", "is_video": False}},
        ]
    },
}


def make(folder: Path) -> None:
    """Write a post as instaloader packs it: without check sums."""
    post = {"node": NODE, "instaloader": {"version": "4.15.1", "node_type": "Post"}}
    data = json.dumps(post, separators=(",", ":")).encode()
    packed = lzma.compress(data, check=lzma.CHECK_NONE)
    (folder / "ada" / "2023-05-10_13-00-00_UTC.json.xz").write_bytes(packed)
