"""AWS on moto keeps what every cloud promises."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import open_cloud
from tests.cloud.aws_on_moto import REGION, account, deploy
from tests.contracts.cloud import Contract, Given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud import Cloud


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with account():
        yield open_cloud("aws", REGION)


@pytest.fixture
def given(aws: Cloud) -> Given:
    made = deploy()
    return Given(aws, made.gpu, made.head, made.token, now=time.time)


class TestAws(Contract):
    pass
