"""What `report --link` says of the link that it prints, and what it says where nobody can sign."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from imgbatch import report
from imgbatch.cli import app
from imgbatch.dataset import Dataset
from imgbatch.errors import SettingsError
from imgbatch.storage import clients, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a report be written without one: of it, only the link is looked at here."""
    monkeypatch.setattr(report, "write_report", lambda *_, **__: "where the page is")
    yield
    clients.forget()
    open_store.cache_clear()


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "for whoever has this link it opens, for 24 hours, at:"),
        ("t", "for whoever has this link it opens, for 24 hours, or until the keys end, at:"),
    ],
)
def test_a_link_that_ends_with_its_keys_is_not_promised_for_longer(
    bucket: str, monkeypatch: pytest.MonkeyPatch, token: str, says: str
) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    url = f"s3://{bucket}/{uuid.uuid4().hex}"
    Dataset.create(url)
    done = CliRunner().invoke(app, ["report", url, "--link"], catch_exceptions=False)
    assert done.exit_code == 0
    where, said, link = done.stdout.splitlines()
    assert (where, said) == ("where the page is", says)
    assert "X-Amz-Expires=86400" in link


@pytest.mark.usefixtures("page")
def test_where_nobody_can_sign_it_is_said_and_the_page_is_there() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    Dataset.create(url)
    done = CliRunner().invoke(app, ["report", url, "--link"])
    assert done.stdout == "where the page is\n"
    assert isinstance(done.exception, SettingsError)
    assert "nobody here can sign a link" in str(done.exception)
    assert "credentials=KEY.json" in done.exception.remedy
