"""Enters: a story. Leaves: its page, one HTML file that needs nothing else and runs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from imgbatch import __version__
from imgbatch.records import source_id_of
from imgbatch.report.words import counted, data_size, duration, number, share, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.report.story import Story

# Nothing may be loaded, run, framed or sent, whatever a file name of the corpus says.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
STATE_WORDS = {
    "ok": "decoded",
    "failed": "could not be had or read",
    "filtered": "no media, set aside on purpose",
}


def render(story: Story) -> str:
    """Return the page as HTML; every value is escaped where it is put in."""
    template = environment(inputs=story.inputs).get_template("index.html")
    return template.render(story=story, policy=POLICY, version=__version__, state_words=STATE_WORDS)


def environment(*rooms: str, inputs: Sequence[str]) -> Environment:
    """Return what fills templates: escapes every value, and knows our words.

    Args:
        rooms: packages that have templates of their own; those of this one are found too.
        inputs: addresses are shown without these beginnings.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(room) for room in (*rooms, "imgbatch.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "counted": counted,
        "share": share,
        "data_size": data_size,
        "duration": duration,
        "shown": shown,
        "source_id": source_id_of,
        "near": lambda address: near(address, inputs),
    }
    return made


def near(address: str, inputs: Sequence[str]) -> str:
    """Return an address without the input that it lies below."""
    root = next((i for i in inputs if i and address.startswith(f"{i}/")), "")
    return address[len(root) :].lstrip("/") if root else address
