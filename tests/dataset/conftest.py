from __future__ import annotations

import pytest

from imgbatch.dataset import MANIFEST, Dataset, manifest


@pytest.fixture
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = Dataset.create(str(tmp_path_factory.mktemp("dataset")))
    made.table(MANIFEST).create(manifest.SCHEMA, fence=0, run="create")
    return made
