"""A listing is asked for page by page, as it is read: of millions, a few pages are ever held."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from imgbatch.storage import listings, open_store, sdk
from tests.conftest import ask
from tests.servers.counting import counting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.counting import Counting

NAMES = 2000
# The server's own (see `gs_server`); so many names make one page of ours too.
PAGE = 100
# The first one, the next one that is asked for meanwhile, and one more of obstore's own; where the
# SDK takes over, its two as well.
FEW = 5
ODD = "p/00000//x"


@pytest.fixture
def counted(gs_server: str, untold: pytest.MonkeyPatch) -> Iterator[Counting]:
    """Google's server, counting what it is asked; pages of ours are as long as its own."""
    untold.setattr(listings, "PAGE", PAGE)
    untold.setattr("imgbatch.storage.odd.gs.PAGE", PAGE)
    with counting(gs_server) as server:
        yield server


def pages(server: Counting) -> int:
    """Return how many pages were asked for, through either of Google's interfaces."""
    return sum(one.method == "GET" and "prefix=" in one.path for one in server.asked)


@pytest.mark.parametrize("odd", [False, True], ids=["obstore", "sdk"])
def test_one_entry_of_thousands_asks_for_a_few_pages(counted: Counting, *, odd: bool) -> None:
    bucket = f"millions-{uuid.uuid4().hex}"
    ask(f"{counted.url}/storage/v1/b", {"name": bucket})
    store = open_store(f"gs://{bucket}?endpoint={counted.url}&anonymous=true")
    names = {f"p/{number:05}" for number in range(NAMES)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, b"."), names))
    if odd:  # where obstore meets it, the maker's SDK goes on
        sdk.google(f"gs://{bucket}").bucket(bucket).blob(ODD).upload_from_string(b".")
        names.add(ODD)
    counted.asked.clear()
    listing = store.list("p")
    first = next(listing).name
    assert 1 <= pages(counted) <= FEW
    assert {first, *(entry.name for entry in listing)} == names
    assert pages(counted) >= NAMES / PAGE
