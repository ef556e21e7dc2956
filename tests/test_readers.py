"""The tables as other tools read them: Delta for those that know it, plain files for the rest."""

from __future__ import annotations

import ast
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from imgbatch.dataset import Dataset
from imgbatch.dataset.export import export
from imgbatch.errors import SettingsError
from imgbatch.storage import open_store
from tests import corpus

ROOT = Path(__file__).parents[1]
OK = sum(outcome == "ok" for outcome in corpus.EXPECTED.values())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    corpus.make(folder / "corpus")
    corpus.run_inline(folder / "corpus", folder / "dataset")
    return folder / "dataset"


def line_of(readme: str, reader: str) -> str:
    """Return the line by which README.md has a reader read a table."""
    found = re.search(rf"^    {reader} +(.+)$", readme, re.MULTILINE)
    assert found is not None
    return found[1]


def test_polars_reads_a_table_as_the_readme_says(dataset: Path, readme: str) -> None:
    line = line_of(readme, "polars").replace("DATASET", str(dataset))
    frame = eval(line, {"pl": pl})
    assert type(frame).__module__.partition(".")[0] == "polars"
    assert (len(frame), frame["brightness"].null_count()) == (OK, 0)


def test_polars_reads_a_table_as_delta_and_joins_two(dataset: Path) -> None:
    sources = pl.read_delta(str(dataset / "tables/sources"))
    quality = pl.read_delta(str(dataset / "tables/quality"))
    joined = quality.join(sources, on=["source_id", "version"])
    assert (len(sources), len(joined)) == (len(corpus.EXPECTED), OK)
    assert joined["brightness"].is_not_null().all()


@pytest.mark.slow
def test_pandas_reads_a_table_as_the_readme_says_where_there_is_no_imgbatch(
    dataset: Path, readme: str
) -> None:
    # Where it is installed every process that makes an array loads it, through pyarrow: a fifth of
    # a second more for each of ours. So it lives elsewhere, as it does for whoever only reads.
    script = f"""
import os, deltalake
frame = {line_of(readme, "pandas").replace("DATASET", str(dataset))}
told = (type(frame).__module__.partition(".")[0], len(frame), frame["brightness"].isna().sum())
print(*told, flush=True)
os._exit(0)  # some library's thread aborts two such processes in a hundred as Python ends
"""
    done = subprocess.run(
        [ROOT / "scripts/tools", "pandas", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["pandas", str(OK), "0"]


def test_duckdb_reads_a_table_as_the_readme_says_and_downloads_nothing(
    dataset: Path, readme: str, tmp_path: Path
) -> None:
    found = re.search(r"^    DuckDB    (.+)\n {14}(.+)$", readme, re.MULTILINE)
    assert found is not None
    opens, asks = found[1].replace("DATASET", str(dataset)), found[2]
    # In a home without extensions, from which no server is reached.
    nowhere = "http://127.0.0.1:1"
    away = {"HOME": str(tmp_path), "http_proxy": nowhere, "https_proxy": nowhere}
    done = subprocess.run(
        [sys.executable, "-c", f"import deltalake, duckdb\n{opens}\nprint({asks}.fetchall())"],
        env={**os.environ, **away},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Counter(ast.literal_eval(done.stdout)) == outcomes(dataset)


def test_duckdb_reads_a_table_with_its_extension_where_it_is_installed(
    dataset: Path, readme: str
) -> None:
    found = re.search(r"^    its SQL   (.+)$", readme, re.MULTILINE)
    assert found is not None
    # A test downloads nothing unasked: `INSTALL delta` in DuckDB does.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        try:
            connection.execute("LOAD delta")
        except duckdb.Error as error:
            pytest.skip(f"DuckDB's extension delta does not load: {str(error).splitlines()[0]}")
        rows = connection.execute(found[1].replace("DATASET", str(dataset))).fetchall()
    assert Counter(rows) == outcomes(dataset)


def outcomes(dataset: Path) -> Counter[tuple[str, str | None, int]]:
    """Count what came of the sources, as rows of status, error class, and how many."""
    rows = Dataset.open(str(dataset)).read("sources", columns=["status", "error_class"])
    counts = Counter((row["status"], row["error_class"]) for row in rows.to_pylist())
    return Counter((*row, count) for row, count in counts.items())


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_exported_rows_are_those_of_the_table_by_their_keys(
    dataset: Path, tmp_path: Path, scheme: str
) -> None:
    out = str(tmp_path / "out") if scheme == "file" else f"memory://{uuid.uuid4().hex}"
    opened = Dataset.open(str(dataset))
    export(opened, out, form="parquet")
    for name in ("sources", "motion", "hashes"):
        rows = opened.read(name)
        keys = [(key, "ascending") for key in ("source_id", "frame") if key in rows.column_names]
        found = pq.read_table(io.BytesIO(open_store(out).get(f"{name}.parquet")))
        assert found.schema.equals(rows.schema)
        assert found.to_pylist() == rows.sort_by(keys).to_pylist()


@pytest.mark.parametrize("where", ["", "/", "/exported", "/tables/../out"])
def test_nothing_is_exported_into_the_dataset_itself(dataset: Path, where: str) -> None:
    before = sorted(dataset.rglob("*"))
    with pytest.raises(SettingsError, match="would put files into DATASET"):
        export(Dataset.open(str(dataset)), f"{dataset}{where}", form="csv")
    assert sorted(dataset.rglob("*")) == before


def test_the_folder_that_a_dataset_lies_in_may_have_its_export(
    dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset, tmp_path / "dataset")
    export(Dataset.open(str(tmp_path / "dataset")), str(tmp_path), form="csv")
    assert (tmp_path / "sources.csv").exists()


def test_exported_parquet_is_one_plain_file_per_table(dataset: Path, tmp_path: Path) -> None:
    written = export(Dataset.open(str(dataset)), str(tmp_path / "out"), form="parquet")
    files = {p.stem: pq.read_table(p).num_rows for p in (tmp_path / "out").iterdir()}
    assert files == written
    assert written["sources"] == written["manifest"] == len(corpus.EXPECTED)
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FROM '{tmp_path}/out/quality.parquet' WHERE status = 'ok'"
        assert connection.execute(query).fetchone() == (OK,)


def test_exported_csv_is_read_back_with_every_hostile_name_intact(
    dataset: Path, tmp_path: Path
) -> None:
    export(Dataset.open(str(dataset)), str(tmp_path / "out"), form="csv")
    with (tmp_path / "out" / "sources.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(corpus.EXPECTED)
    assert any(row["address"].endswith("<b>bold & 'quoted'.jpg") for row in rows)
    motion = pl.read_csv(tmp_path / "out" / "motion.csv")
    assert len(motion) == OK
