"""What every analyzer promises, whichever it is: a new file in the folder is found by itself."""

from __future__ import annotations

import ast
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import skimage
import sklearn
from PIL import Image

from imgbatch import analyzers, tables
from imgbatch.errors import MissingExtraError
from imgbatch.models import cache
from imgbatch.records import Facts, Picture
from imgbatch.settings import Limits, Settings, read_recipe, recipe_text
from tests.contracts.made import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from imgbatch.analyzers import Column, Module, Row

THREADS = 4
SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
EXIF: dict[str, str | int | float | bool] = {
    "Make": "Canon\0",
    "Orientation": 6,
    "DateTimeOriginal": "2020:01:02 03:04:05",
    "GPS": True,
}


def photograph(path: Path, side: int = 256) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        image.thumbnail((side * 2, side))
        return np.array(image.convert("RGB"))


def transparent() -> NDArray[np.uint8]:
    with Image.open(SKIMAGE / "logo.png") as image:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        return np.array(ground.convert("RGB"))


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height + width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


def flat(value: int, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


PIXELS = {
    "astronaut": photograph(SKIMAGE / "astronaut.png"),
    "china": photograph(SKLEARN / "china.jpg"),
    "flower": photograph(SKLEARN / "flower.jpg"),
    "grey": photograph(SKIMAGE / "camera.png"),
    "transparent": transparent(),
    "noise": noise(100, 140),
    "black": flat(0),
    "mid-grey": flat(128),
    "white": flat(255),
    "1x1": noise(1, 1),
    "1x1 white": flat(255, 1, 1),
    "1 high": noise(1, 300),
    "1 wide": noise(300, 1),
    "2x3": noise(2, 3),
    "tall": noise(2000, 7),
}
NAMES = analyzers.available()
OF_PICTURES = [name for name in NAMES if analyzers.load(name).GRAIN == "picture"]
OF_SEQUENCES = [name for name in NAMES if analyzers.load(name).GRAIN == "sequence"]


def picture(pixels: NDArray[np.uint8], frame: int = 0, time: float | None = None) -> Picture:
    """Return a picture whose pixels nobody can write to."""
    pixels = pixels.copy()
    pixels.flags.writeable = False
    height, width = pixels.shape[:2]
    kind, exif = ("image", EXIF) if time is None else ("video", {})
    return Picture(
        pixels,
        frame,
        time,
        Facts(kind, "JPEG", "RGB", width, height, exif=exif),  # type: ignore[arg-type] # one of both
    )


def images() -> list[Picture]:
    return [picture(pixels) for pixels in PIXELS.values()]


def film(first: str, *, frames: int = 6) -> list[Picture]:
    """Return a pan over a picture, and a cut to its negative in the middle."""
    pixels = PIXELS[first]
    pans = [np.ascontiguousarray(pixels[:200, i * 5 : i * 5 + 180]) for i in range(frames)]
    cut = [255 - pan if i >= frames // 2 else pan for i, pan in enumerate(pans)]
    return [picture(pixels, i, i / 2) for i, pixels in enumerate(cut)]


# Settings with made weights, by analyzer; filled once each.
MADE: dict[str, Settings] = {}
EXTRAS = {"insightface", "onnx", "onnxruntime", "open_clip", "torch", "torchvision"}


def settings_for(module: Module) -> Settings:
    return MADE.get(name_of(module)) or module.Settings()


def name_of(module: Module) -> str:
    return module.__name__.rpartition(".")[2]


def made(module: Module) -> Any:
    try:
        return module.Analyzer(settings_for(module))
    except MissingExtraError as error:
        pytest.skip(str(error))


def loaded(name: str, factory: pytest.TempPathFactory) -> Module:
    """Return an analyzer that is ready to be made: what it needs is written, or the test skips."""
    if name in SETTINGS and name not in MADE:
        try:
            MADE[name] = SETTINGS[name](factory.mktemp(name))
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            pytest.skip(f"{error.name} is not installed")
    return analyzers.load(name)


def rows_of(module: Module, pictures: Iterable[Picture], batch: int) -> list[Row]:
    """Return the rows of images, prepared one by one and inferred in batches."""
    analyzer = made(module)
    prepared = [analyzer.prepare(one) for one in pictures]
    rows: list[Row] = []
    for i in range(0, len(prepared), batch):
        some = analyzer.infer(prepared[i : i + batch])
        assert len(some) == len(prepared[i : i + batch])
        rows += some
    return rows


def row_of(analyzer: Any, frames: Iterable[Picture]) -> Row:
    strip = analyzer.start()
    for frame in frames:
        strip.see(frame)
    row: Row = strip.row()
    return row


def table_of(module: Module, rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table with exactly the declared columns; checks keys, types and nulls."""
    settings = settings_for(module)
    main, regions = analyzers.columns_of(module, settings), analyzers.regions_of(module, settings)
    if analyzers.has_regions(module):
        table_by(regions, [region for row in rows for region in row["regions"]])
        rows = [{key: value for key, value in row.items() if key != "regions"} for row in rows]
    return table_by(main, rows)


def table_by(columns: Sequence[Column], rows: Sequence[Row]) -> pa.Table:
    schema = pa.schema([pa.field(c.name, c.type) for c in columns])
    for row in rows:
        assert set(row) == set(schema.names)
    table = pa.Table.from_pylist(list(rows), schema=schema)
    table.validate(full=True)
    for column in columns:
        if column.missing == "never":
            assert table[column.name].null_count == 0, column.name
        values = [leaf for value in table[column.name].to_pylist() for leaf in leaves(value)]
        floats = [leaf for leaf in values if isinstance(leaf, float)]
        assert np.isfinite(floats).all(), column.name
    return table


def leaves(value: Any) -> Iterable[Any]:
    """Yield the values in a value: of a list, all in it."""
    if isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def assert_same(module: Module, rows: Sequence[Row], others: Sequence[Row]) -> None:
    """Compare two lists of rows: floats within TOLERANCE, everything else exactly."""
    left, right = table_of(module, rows), table_of(module, others)
    assert_near(left, right, module.TOLERANCE)
    if analyzers.has_regions(module):
        columns = analyzers.regions_of(module, settings_for(module))
        for row, other in zip(rows, others, strict=True):
            pair = [table_by(columns, one["regions"]) for one in (row, other)]
            assert_near(*pair, module.TOLERANCE)


def assert_near(left: pa.Table, right: pa.Table, tolerance: float) -> None:
    assert len(left) == len(right)
    for name in left.column_names:
        for a, b in zip(left[name].to_pylist(), right[name].to_pylist(), strict=True):
            for x, y in zip(leaves(a), leaves(b), strict=True):
                if isinstance(x, float) and isinstance(y, float):
                    assert abs(x - y) <= tolerance, name
                else:
                    assert x == y, name


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    # Several tests run side by side: threads that wait for each other would take all cores.
    cache.adopt(Limits(threads=1))
    yield
    cache.adopt(Limits())


@pytest.fixture(params=NAMES)
def module(request: pytest.FixtureRequest) -> Module:
    return analyzers.load(request.param)


@pytest.fixture(params=OF_PICTURES)
def of_pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Module:
    return loaded(request.param, tmp_path_factory)


@pytest.fixture(params=OF_SEQUENCES)
def of_sequences(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Module:
    return loaded(request.param, tmp_path_factory)


def test_the_folder_has_both_grains() -> None:
    assert OF_PICTURES
    assert OF_SEQUENCES
    assert sorted([*OF_PICTURES, *OF_SEQUENCES]) == NAMES


def test_exports_what_an_analyzer_exports(module: Module) -> None:
    assert module.GRAIN in ("picture", "sequence")
    assert type(module.VERSION) is int
    assert module.VERSION >= 1
    assert type(module.TOLERANCE) is float
    assert 0 <= module.TOLERANCE < 0.01
    assert isinstance(module.NEEDS, analyzers.Needs)
    assert module.NEEDS.min_side >= 0
    assert module.NEEDS.batch >= 1
    assert issubclass(module.Settings, Settings)
    assert module.GRAIN == "picture" or not analyzers.has_regions(module)
    methods = ("prepare", "infer") if module.GRAIN == "picture" else ("start",)
    assert all(inspect.isfunction(getattr(module.Analyzer, name)) for name in methods)


def test_every_column_has_a_name_a_type_and_a_meaning(module: Module) -> None:
    settings = settings_for(module)
    columns = analyzers.columns_of(module, settings)
    regions = analyzers.regions_of(module, settings)
    assert isinstance(columns, tuple)
    assert isinstance(regions, tuple)
    assert columns
    for table in (
        name_of(module),
        *([f"{name_of(module)}_regions"] if analyzers.has_regions(module) else []),
    ):
        names = [column.name for column in tables.columns_of(table, settings)]
        assert len(set(names)) == len(names)
    for column in (*columns, *regions):
        assert column.name.isidentifier()
        assert column.name == column.name.lower()
        assert isinstance(column.type, pa.DataType)
        assert len(column.meaning) > 10, column.name
        assert not column.meaning.endswith("."), column.name
        assert column.missing, column.name


def test_its_docstring_tells_what_it_does(module: Module) -> None:
    summary = analyzers.summary(module.__name__.rpartition(".")[2])
    assert summary.endswith(".")
    assert len(summary) > 20
    assert all(field.isidentifier() for field in module.Settings.model_fields)
    assert module.Settings.__doc__
    for field in module.Settings.model_fields:
        assert f"{field}:" in module.Settings.__doc__, field


def test_settings_have_defaults_are_frozen_and_can_be_pickled(module: Module) -> None:
    settings = module.Settings()
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(ValueError, match="Extra inputs"):
        module.Settings.model_validate({"no_such_key": 1})


def test_an_analyzer_imports_no_other(module: Module) -> None:
    file = inspect.getsourcefile(module)  # type: ignore[arg-type] # a Module is a module
    assert file is not None
    is_folder = Path(file).name == "__init__.py"
    files = sorted(Path(file).parent.rglob("*.py")) if is_folder else [Path(file)]
    imported = set()
    for node in (node for one in files for node in ast.walk(ast.parse(one.read_text("utf-8")))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            imported |= {f"{source}.{alias.name}" for alias in node.names}
    others = {f"imgbatch.analyzers.{name}" for name in NAMES} - {module.__name__}
    assert not {i for i in imported for o in others if i == o or i.startswith(f"{o}.")}
    assert not {i for i in imported if i.startswith(".")}


def test_the_quick_recipe_spells_out_every_analyzer_with_its_defaults() -> None:
    recipe = read_recipe(recipe_text("quick"), settings_of=analyzers.settings_of)
    assert recipe.media == type(recipe.media)()
    for name, settings in recipe.analyzers.items():
        of_its_own = {"detector": "lbp"} if name == "faces" else {}  # which needs no weights
        assert settings == analyzers.settings_of(name)(**of_its_own), name
        if name != "faces":  # most of its settings are for detectors with weights
            assert settings.model_fields_set == set(type(settings).model_fields), name


def test_the_standard_recipe_is_quick_and_networks_with_their_defaults() -> None:
    quick = read_recipe(recipe_text("quick"), settings_of=analyzers.settings_of)
    recipe = read_recipe(recipe_text("standard"), settings_of=analyzers.settings_of)
    assert recipe.media == quick.media
    without = {name: found for name, found in quick.analyzers.items() if name != "faces"}
    assert recipe.analyzers.items() > without.items()
    assert recipe.analyzers.keys() > quick.analyzers.keys()
    for name, settings in recipe.analyzers.items():
        assert settings == analyzers.settings_of(name)(), name
        # TOML has no word for "none"
        unsaid = {k for k, f in type(settings).model_fields.items() if f.default is None}
        assert settings.model_fields_set == set(type(settings).model_fields) - unsaid, name


def test_n_pictures_give_n_rows_of_the_declared_types(of_pictures: Module) -> None:
    pictures = images()
    table = table_of(of_pictures, rows_of(of_pictures, pictures, of_pictures.NEEDS.batch))
    assert len(table) == len(pictures) == len(PIXELS)


@pytest.mark.slow
def test_no_pictures_give_no_rows(of_pictures: Module) -> None:
    assert made(of_pictures).infer([]) == []


def test_a_second_time_gives_the_same_rows(of_pictures: Module) -> None:
    batch = of_pictures.NEEDS.batch
    once = rows_of(of_pictures, images(), batch)
    again = rows_of(of_pictures, reversed(images()), batch)
    assert_same(of_pictures, once, again[::-1])


def test_a_batch_of_one_gives_the_rows_of_a_batch_of_all(of_pictures: Module) -> None:
    alone = rows_of(of_pictures, images(), 1)
    assert_same(of_pictures, alone, rows_of(of_pictures, images(), len(PIXELS)))


@pytest.mark.slow
def test_threads_prepare_the_same_as_one(of_pictures: Module) -> None:
    analyzer = made(of_pictures)
    pictures = images() * THREADS
    with ThreadPoolExecutor(THREADS) as pool:
        prepared = list(pool.map(analyzer.prepare, pictures))
    rows = [row for one in prepared for row in analyzer.infer([one])]
    assert_same(of_pictures, rows, rows_of(of_pictures, images(), 1) * THREADS)


def test_a_huge_picture_gives_a_row(of_pictures: Module) -> None:
    large = np.ascontiguousarray(np.tile(PIXELS["astronaut"], (12, 16, 1))[:3000, :4000])
    assert large.shape == (3000, 4000, 3)
    assert len(table_of(of_pictures, rows_of(of_pictures, [picture(large)], 1))) == 1


def test_frames_of_a_video_give_rows_too(of_pictures: Module) -> None:
    frames = film("china")
    assert len(table_of(of_pictures, rows_of(of_pictures, frames, 2))) == len(frames)


def test_a_source_gives_one_row_of_the_declared_types(of_sequences: Module) -> None:
    analyzer = made(of_sequences)
    sources = [[one] for one in images()] + [film("china"), film("astronaut", frames=2)]
    rows = [row_of(analyzer, frames) for frames in sources]
    assert len(table_of(of_sequences, rows)) == len(sources)


def test_a_second_strip_gives_the_same_row(of_sequences: Module) -> None:
    analyzer = made(of_sequences)
    once = [row_of(analyzer, film("china")) for _ in range(2)]
    assert_same(of_sequences, once, [row_of(made(of_sequences), film("china"))] * 2)


def test_the_order_of_frames_matters(of_sequences: Module) -> None:
    frames = [picture(p, i, i / 2) for i, p in enumerate([flat(0), flat(0), flat(200), flat(90)])]
    orders = [(0, 1, 2, 3), (0, 2, 1, 3)]
    rows = [
        row_of(made(of_sequences), [picture(frames[k].pixels, i, i / 2) for i, k in enumerate(o)])
        for o in orders
    ]
    assert rows[0] != rows[1]


def test_interleaved_strips_do_not_mix(of_sequences: Module) -> None:
    analyzer = made(of_sequences)
    names = ("china", "astronaut", "grey")
    strips = [analyzer.start() for _ in names]
    for frames in zip(*(film(name) for name in names), strict=True):
        for strip, frame in zip(strips, frames, strict=True):
            strip.see(frame)
    alone = [row_of(made(of_sequences), film(name)) for name in names]
    assert_same(of_sequences, [strip.row() for strip in strips], alone)


def test_strips_of_several_threads_do_not_mix(of_sequences: Module) -> None:
    analyzer = made(of_sequences)
    films = [film(name) for name in ("china", "astronaut", "grey", "flower")]
    with ThreadPoolExecutor(THREADS) as pool:
        rows = list(pool.map(lambda frames: row_of(analyzer, frames), films * THREADS))
    assert_same(of_sequences, rows, [row_of(analyzer, frames) for frames in films] * THREADS)


def test_a_picture_that_changes_size_midway_gives_a_row(of_sequences: Module) -> None:
    sizes = [(40, 60), (60, 40), (1, 1), (40, 60)]
    frames = [picture(noise(*size), i, float(i)) for i, size in enumerate(sizes)]
    assert len(table_of(of_sequences, [row_of(made(of_sequences), frames)])) == 1
