"""Text from a dump enters; a URL in its one canonical form leaves, or LinkError."""

from __future__ import annotations

import hashlib

import httpx2

from imgbatch.errors import LinkError

LONGEST = 8192
SCHEMES = ("http", "https")


def canonical(text: str) -> httpx2.URL:
    """Return a URL that may be asked: http or https, no password in it, its fragment gone.

    Raises:
        LinkError: link.url, it is none.
    """
    if len(text) > LONGEST:
        raise LinkError("link.url", f"a URL of {len(text)} characters")
    try:
        url = httpx2.URL(text.strip().partition("#")[0])
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise LinkError("link.url", f"not a URL: {error}") from error
    if url.scheme not in SCHEMES or not url.host:
        raise LinkError("link.url", f"not a URL of the web: {text[:80]!r}")
    if url.userinfo:
        raise LinkError("link.url", "a user or password in the URL")
    return url


def key_of(url: str) -> str:
    """Return the name that a URL has here: 32 hex digits of its SHA-256."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def joined(url: httpx2.URL, location: str) -> httpx2.URL:
    """Return where a redirect leads.

    Raises:
        LinkError: link.url, nowhere that may be asked.
    """
    try:
        return canonical(str(url.join(location)))
    except (httpx2.InvalidURL, ValueError) as error:
        raise LinkError("link.url", f"redirected to no URL: {error}") from error


def origin(url: httpx2.URL) -> str:
    """Return scheme, host and port of a URL: what one robots.txt speaks for."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
