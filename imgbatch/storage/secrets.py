"""A text from outside enters: an error, a traceback, a log line. It leaves without secrets.

Servers repeat what they were sent, and libraries print what they sent: a signed URL, a header, a
canonical request. Whatever of ours prints such a text passes it through here first.

Key ids stay (`AKIA...`): they are names, no secrets, and people need them to find the wrong key.
"""

from __future__ import annotations

import re

from imgbatch.settings import secret_values

HIDDEN = "***"
# Shorter ones are words: hiding "test" would hide half of a message.
SHORTEST = 12

_remembered: set[str] = set()

_QUOTE = r"(?:\\?[\"'])?"
_NAMES = (
    "private_key|client_secret|(?:refresh|access|id|session|security|auth)[-_]?token|assertion|"
    "secret[-_]?access[-_]?key|passw(?:or)?d|signature|sig"
)
_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
    for pattern, instead in (
        # What AWS sends back of a request whose signature does not match, in words and as bytes.
        (
            r"<(CanonicalRequest(?:Bytes)?|StringToSign(?:Bytes)?|SignatureProvided)>.*?</\1>",
            rf"<\1>{HIDDEN}</\1>",
        ),
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\w+/=\\\s]*(?:-----END [A-Z ]*-----)?", HIDDEN),
        (r"\b(Bearer|Basic)(\s+)(?=\S*\d)[\w.~+/=:-]{8,}", rf"\1\2{HIDDEN}"),
        (r"\b(AWS \w{16,}):[\w+/=]{20,}", rf"\1:{HIDDEN}"),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", HIDDEN),
        (r"\bya29\.[\w.-]{8,}", HIDDEN),
        (
            rf"(?<![a-z])((?:{_NAMES}){_QUOTE}\s*(?:=|:|>|%3D)\s*{_QUOTE})[^\s\"'\\&<>,;}})\]]{{6,}}",
            rf"\1{HIDDEN}",
        ),
        # Up to the last `@` before a slash: a password that was not quoted may hold one.
        (r"(\b[a-z][\w+.-]*://[^\s/:@\"']*:)[^\s/\"']+@", rf"\1{HIDDEN}@"),
    )
)


def remember(*values: str | None) -> None:
    """Hide these from now on: what a profile, a role or a key file gave."""
    _remembered.update(value for value in values if value and len(value) >= SHORTEST)


def cause(error: BaseException) -> BaseException | None:
    """Return an error as what another one came from; None if its own text tells a secret."""
    text = str(error)
    return error if scrub(text) == text else None


def scrub(text: str) -> str:
    """Return a text with signatures, tokens, keys and passwords as `***`."""
    for value in _remembered.union(v for v in secret_values() if len(v) >= SHORTEST):
        text = text.replace(value, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
