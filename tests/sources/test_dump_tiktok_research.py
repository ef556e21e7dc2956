import pytest

from tests.contracts.dumps import Suite


class TestTiktok(Suite):
    @pytest.fixture
    def name(self) -> str:
        return "tiktok-research"
