"""The command line enters; what a fetch may do leaves, frozen and checked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from imgbatch.settings import Settings

Kind = Literal["image", "video", "audio", "other"]


class FetchSettings(Settings):
    """What a fetch may ask of the web, and of this machine.

    Attributes:
        allow_private: ask addresses too that are not public: of this machine, of its network, of a
            cloud's metadata service. A dump's links are a stranger's: whoever wrote a post would
            have this machine ask its own network.
        ignore_robots: ask what a robots.txt forbids, and keep what X-Robots-Tag gives as `noai`.
        rate: requests a second that one host gets at most; its robots.txt may ask for fewer.
        per_host: requests under way to one host at most.
        at_once: requests under way in all.
        http2: speak HTTP/2 to servers that can, one request at a time over a connection.
        max_bytes: a larger file is not taken; nor a compressed answer that is larger, or unpacks to
            more.
        kinds: of media, as the dump names them, that are asked for; `other` is what it does not
            name.
        limit: only the first so many URLs that are to be asked.
        refresh: ask again for what is here: is it still the same?
        retry: error classes that are asked for again, such as `link.*`.
        removed: what becomes of media that no post of the dump links to any more: `keep` them, or
            `forget` them; of a dump that is damaged none counts as removed.
        attempts: how often a URL is asked for while it fails in a way that may pass.
        connect_seconds: for a connection, TLS included.
        seconds: for an answer; its body may take longer while it comes faster than 8 KiB/s.
        patience: seconds for which a host may ask us to wait; one that asks for longer is left.
        down_after: a host whose last so many URLs all failed in such a way is left alone; so is one
            that gave so many requests in a row no answer, for 10 seconds or longer.
        max_redirects: that one URL may take.
        contact: who asks: an address or a page that the servers' owners can turn to. No control
            characters.
    """

    allow_private: bool = False
    ignore_robots: bool = False
    rate: float = Field(default=10.0, gt=0)
    per_host: int = Field(default=4, ge=1)
    at_once: int = Field(default=32, ge=1, le=512)
    http2: bool = False
    max_bytes: int = Field(default=256 * 2**20, ge=1)
    kinds: tuple[Kind, ...] = ("image", "video", "other")
    limit: int | None = Field(default=None, ge=1)
    refresh: bool = False
    retry: tuple[str, ...] = ()
    removed: Literal["keep", "forget"] = "keep"
    attempts: int = Field(default=4, ge=1)
    connect_seconds: float = Field(default=10.0, gt=0)
    seconds: float = Field(default=60.0, gt=0)
    patience: float = Field(default=900.0, ge=0)
    down_after: int = Field(default=10, ge=1)
    max_redirects: int = Field(default=10, ge=0)
    contact: str = Field(default="", pattern=r"^[^\x00-\x1f\x7f]*$")
