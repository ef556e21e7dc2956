"""A control object enters; its bytes leave, as terminals and heads of other versions read them too.

A head may be of an older image than a terminal, and who reads an object refuses a key that it does
not know. So what came later is left out where it says nothing; and where it says something of an
order, it lies among words that were always free: a head that cannot read any order of the queue
leaves, and the next one that comes for them does, and each of them costs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgbatch.settings import Settings

# Fields that came after others read such objects.
LATER = ("looked", "heads_until")
HEADS_UNTIL, FREE = "heads_until", "expected"


def unsaid(value: Settings) -> set[str]:
    """Return the fields that versions before do not read, where they say nothing."""
    return {name for name in LATER if getattr(value, name, None) == 0}


def encoded(value: Settings) -> bytes:
    """Return the bytes of a control object."""
    fields: dict[str, Any] = value.model_dump(exclude=unsaid(value))
    if HEADS_UNTIL in fields:
        fields[FREE][HEADS_UNTIL] = fields.pop(HEADS_UNTIL)
    # One key per line: the watch of a machine reads the lease with sed.
    return json.dumps(fields, indent=0).encode()


def decoded(fields: Any) -> Any:
    """Return the fields of a control object of any version, from its JSON."""
    words = fields.get(FREE) if isinstance(fields, dict) else None
    if isinstance(words, dict) and HEADS_UNTIL in words:
        fields[HEADS_UNTIL] = words.pop(HEADS_UNTIL)
    return fields
