"""Enters: a dataset. Leaves: `report/index.html`, one file to look at, and the codebook beside it.

The page needs no network and runs no script; every name and message of the corpus is shown as
text. It holds small copies of some pictures, unless asked not to, and no positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset import Dataset, pages
from imgbatch.dataset.state import unlocked
from imgbatch.report.codebook import codebook, to_csv, to_markdown
from imgbatch.report.page import render
from imgbatch.report.story import dataset_name, tell
from imgbatch.report.weights import used

if TYPE_CHECKING:
    from imgbatch.dataset.audit import ReportKind

__all__ = ["rewrite_report", "write_report"]

PAGE = "report/index.html"


def rewrite_report(dataset: Dataset, kind: ReportKind) -> None:
    """Write the report again that a forget deleted, of its kind."""
    if kind != "none":
        write_report(dataset, thumbnails=kind == "pictures")


def write_report(dataset: Dataset, *, thumbnails: bool = True) -> str:
    """Write the report of a dataset and its codebook; return the page's address.

    Args:
        dataset: what was committed so far is reported; a run may still go on.
        thumbnails: put small copies of some pictures into the page.

    Raises:
        BusyError: a takedown went by while it was made; nothing of it is left.
        DatasetError, StorageError: the tables cannot be read, or the report not be written.
    """
    before = pages.look(dataset)
    dataset = Dataset.open(dataset.url)  # as it is from here on, whatever was opened before
    with unlocked(dataset):
        entries = codebook(dataset)
        page = render(tell(dataset, entries, thumbnails=thumbnails))
        words = to_markdown(entries, title=dataset_name(dataset), weights=used(dataset.runs()))
    with pages.putting(dataset, before) as put:
        put("report/codebook.csv", to_csv(entries))
        put("report/codebook.md", words)
        put(PAGE, page.encode("utf-8", "replace"))
    return dataset.store.address(PAGE)
