"""The simulated cloud keeps what every cloud promises: else tests with it would prove nothing."""

from __future__ import annotations

import pytest

from tests.cloud.fake import FakeCloud, deployment
from tests.contracts.cloud import Contract, Given


@pytest.fixture
def given() -> Given:
    cloud = FakeCloud(deployment(most=4))
    pool = cloud.deployment.pools["gpu"]
    return Given(
        cloud,
        pool.group,
        cloud.deployment.head.group,
        cloud.deployment.token,
        now=lambda: cloud.now,
        region=cloud.deployment.region,
        settle=lambda: cloud.advance(60),
    )


class TestFake(Contract):
    pass
