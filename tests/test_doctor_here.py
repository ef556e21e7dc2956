"""What the doctor says of this machine, beside what `test_doctor` sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.doctor import here

if TYPE_CHECKING:
    import pytest


def test_packages_that_would_not_do_are_named_with_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = [
        "numpy<1",
        "obstore>=0.1",
        "imgbatch-has-no-such-package>=2",
        "another-one; extra == 'models'",
        "yet-another; python_version < '3'",
    ]
    monkeypatch.setattr(here.metadata, "requires", lambda _: needed)
    found = next(f for f in here.look() if f.check == "versions")
    assert found.state == "failed"
    old, lacking = found.text.split("; ")
    assert old == f"numpy {here.metadata.version('numpy')} is here, and imgbatch needs <1"
    assert lacking == "imgbatch-has-no-such-package is not installed"
    assert "scripts/setup" in found.remedy
    monkeypatch.setattr(here.metadata, "requires", lambda _: needed[1:2])
    found = next(f for f in here.look() if f.check == "versions")
    assert found.state == "ok"
    assert "obstore" in found.text
