"""From pictures to clusters and people: real digits, and faces of a pack that is made."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from imgbatch.dataset import Dataset, groups
from imgbatch.errors import GroupError
from imgbatch.grouping import Wish, group
from imgbatch.records import source_id_of
from imgbatch.settings import Limits
from imgbatch.vectors.columns import matrix
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

# Of the 10,000 test digits.
EVERY = 4


def digits(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack a quarter of the test digits; return the class of each by its source's id."""
    if not archive.is_file():
        pytest.skip(f"{archive} is not here")
    classes = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = folder / member.name
            if path.suffix != ".png" or not member.name.startswith("test/"):
                continue
            if int(path.stem) % EVERY:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            data = tar.extractfile(member)
            assert data is not None
            path.write_bytes(data.read())
            classes[source_id_of(path.as_uri())] = int(path.parent.name)
    return classes


def command(*words: object) -> subprocess.CompletedProcess[str]:
    full = [sys.executable, "-m", "imgbatch", *map(str, words)]
    return subprocess.run(full, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_digits_from_the_command_line_agree_with_classes_as_scikit_learn_by_hand(
    tmp_path: Path, shared: Path
) -> None:
    classes = digits(shared / "corpora" / "mnist-png.tar.gz", tmp_path / "in")
    out = tmp_path / "out"
    corpus.run_inline(tmp_path / "in", out, recipe="[media]\nmin_side = 16\n[analyzers.classic]\n")
    asked = ["group", out, "clusters", "--set", "table=classic", "--set", "k=10", "--json"]
    made = command(*asked, "--set", "pca=50", "--engine", "inline")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["groups"] == 10
    dataset = Dataset.open(str(out))
    found = groups.read(dataset, "clusters")
    rows = dataset.read("classic", columns=["source_id", "embedding"]).sort_by("source_id")
    pca = PCA(50, svd_solver="covariance_eigh", random_state=0)
    reduced = pca.fit_transform(matrix(rows["embedding"])[1])
    by_hand = KMeans(10, n_init=1, random_state=0).fit_predict(reduced)
    truth = [classes[key] for key in rows["source_id"].to_pylist()]
    assert found["source_id"].to_pylist() == rows["source_id"].to_pylist()
    ours = adjusted_rand_score(truth, found["cluster"])
    assert ours == pytest.approx(adjusted_rand_score(truth, by_hand), abs=1e-12)
    assert ours > 0.25
    before = sorted(p.name for p in (out / "groups" / "clusters").rglob("*"))
    refused = command(*asked[:-3], "--set", "k=4000", "--anew", "--engine", "inline")
    assert refused.returncode == GroupError.exit_code
    assert "K is 4000, and classic.embedding gives 2,500 vectors" in refused.stderr
    assert sorted(p.name for p in (out / "groups" / "clusters").rglob("*")) == before
    sheets = command("sheet", out)
    assert sheets.returncode == 0, sheets.stderr
    assert (out / "report" / "sheets" / "clusters" / "cluster-9.html").is_file()


@pytest.mark.slow
def test_faces_of_a_pack_become_people(tmp_path: Path) -> None:
    pytest.importorskip("insightface")
    pytest.importorskip("onnx")
    from tests import facemodels
    from tests.search.test_pack import PEOPLE, photo

    (tmp_path / "in").mkdir()
    names: dict[str, str] = {}
    for name, colors in PEOPLE.items():
        for shade in (100, 97, 94):
            pixels: Any = photo(*colors).astype(int)
            dark = np.where(pixels[..., :1] > 200, pixels, pixels * shade // 100)
            path = tmp_path / "in" / f"{name}-{shade}.png"
            Image.fromarray(dark.astype(np.uint8)).save(path)
            names[source_id_of(path.as_uri())] = name
    own = facemodels.own(facemodels.pack(tmp_path))
    recipe = (
        '[media]\nexact = true\n[analyzers.faces]\ndetector = "pack"\n'
        "recognition = true\nsides = [320]\n"
        f'weights = {{ url = "{own.url}", sha256 = "{own.sha256}" }}\n'
    )
    limits = Limits(threads=2, model_cache=str(tmp_path / "cache"))
    corpus.run_inline(tmp_path / "in", tmp_path / "d", recipe=recipe, limits=limits)
    with pytest.raises(GroupError, match="no threshold is published for the embeddings of pack"):
        group(Wish(str(tmp_path / "d"), "people"), limits, say=str)
    asked = {"threshold": 0.01, "min_side": 20, "min_sharpness": 0}
    group(Wish(str(tmp_path / "d"), "people", asked), limits, say=str)
    found = groups.read(Dataset.open(str(tmp_path / "d")), "people").to_pylist()
    assert len(found) == len(names) == 9
    persons = {(names[row["source_id"]], row["person"]) for row in found}
    assert len(persons) == len({person for _, person in persons}) == len(PEOPLE)
