import pytest

from tests.contracts.dumps import Suite


class TestReddit(Suite):
    @pytest.fixture
    def name(self) -> str:
        return "reddit"
