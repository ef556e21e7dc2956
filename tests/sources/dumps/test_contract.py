"""Every format runs the contract suite on its own fixture: one that has none fails here."""

from __future__ import annotations

import pytest

from imgbatch.sources import dumps
from tests.contracts.dumps import Suite


class TestFormat(Suite):
    @pytest.fixture(params=dumps.formats())
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)
