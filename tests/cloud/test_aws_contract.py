"""AWS on moto keeps what every cloud promises."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import open_cloud
from tests.cloud.aws_on_moto import REGION, account, deploy, price_list
from tests.contracts.cloud import Contract, Given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.cloud import Cloud


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with account(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path_factory.mktemp("prices")))
        cloud = open_cloud("aws", REGION)
        price_list(cloud.market._clients)
        yield cloud


@pytest.fixture
def given(aws: Cloud) -> Given:
    made = deploy()
    return Given(aws, made.gpu, made.head, made.token, now=time.time, region=REGION)


class TestAws(Contract):
    pass
