"""The table, which is asked for by a column, runs the contract suite so too."""

from __future__ import annotations

import pytest

from imgbatch.sources.dumps import Plain
from tests.contracts.dumps import Suite


class TestTableByColumns(Suite):
    asked = Plain(media_column="Image Path", id_column="id")

    @pytest.fixture
    def name(self) -> str:
        return "table"
