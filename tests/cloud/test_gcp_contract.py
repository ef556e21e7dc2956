"""Google Cloud, as the stand-in of its API has it, keeps what every cloud promises."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch.cloud import open_cloud
from tests.cloud.gcp_fake import REGION, google_cloud
from tests.contracts.cloud import Contract, Given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cloud.gcp_fake import FakeGoogle


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGoogle]:
    folder = tmp_path_factory.mktemp("google")
    with google_cloud(folder) as fake, pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGBATCH_MODEL_CACHE", str(folder))
        yield fake


@pytest.fixture
def given(fake: FakeGoogle) -> Given:
    made = fake.deploy(uuid.uuid4().hex[:8])

    def settle() -> None:
        fake.advance()
        fake.advance()

    return Given(
        open_cloud("gcp", REGION, most={made.head: 1, made.gpu: 4}),
        made.gpu,
        made.head,
        made.token,
        now=time.time,
        region=REGION,
        settle=settle,
        exact=60,
    )


class TestGcp(Contract):
    pass
