"""A run with weights: which rows they decide over, and what happens without them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch import analyzers, crew, doctor, planned, settings
from imgbatch.cli.plan_lines import lines
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import MissingExtraError, WeightsError
from imgbatch.models import registry
from imgbatch.models.weights import Own, fetch
from imgbatch.observe.progress import Lines
from imgbatch.ready import look, needs
from imgbatch.report import write_report
from imgbatch.run import run
from imgbatch.settings import Settings as BaseSettings
from imgbatch.summary import Request
from imgbatch.tables import table_specs
from tests import corpus
from tests.weighted import Settings as WeightedSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.settings import Limits
    from tests.servers.files import Files

    Told = Callable[..., Limits]

NAME = "tests.weighted"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def recipe(url: str | Path, data: bytes) -> str:
    own = f'weights = {{ url = "{url}", sha256 = "{sha256(data)}" }}'
    return f'[analyzers.image]\n[analyzers."{NAME}"]\n{own}\n'


def fingerprint(text: str) -> str:
    read = settings.read_recipe(text, settings_of=analyzers.settings_of)
    return next(spec.fingerprint for spec in table_specs(read) if spec.name == NAME)


def said(dataset: Path) -> list[int]:
    rows: list[int] = Dataset.open(str(dataset)).read(NAME)["said"].to_pylist()
    return rows


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return corpus.many(tmp_path / "in", 3)


def test_weights_decide_over_rows_by_their_digest_and_not_by_where_they_lie(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    hub.files |= {"one.txt": b"1", "again.txt": b"1", "two.txt": b"2"}
    one, again, two = (
        recipe(f"{hub.url}/{name}", hub.files[name]) for name in ("one.txt", "again.txt", "two.txt")
    )
    assert fingerprint(one) == fingerprint(again) != fingerprint(two)
    assert corpus.run_inline(pictures, tmp_path / "d", recipe=one, limits=told()).pictures == 3
    assert said(tmp_path / "d") == [1, 1, 1]
    assert corpus.run_inline(pictures, tmp_path / "d", recipe=again, limits=told()).shards == 0
    assert corpus.run_inline(pictures, tmp_path / "d", recipe=two, limits=told()).shards == 1
    assert said(tmp_path / "d") == [2, 2, 2]
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []
    part = next(iter((tmp_path / "d" / "tables" / NAME).glob("*.parquet")))
    assert sha256(b"2").encode() in part.read_bytes() or sha256(b"1").encode() in part.read_bytes()


class Deep(BaseSettings):
    """Settings that hold weights here and there."""

    heads: dict[str, list[WeightedSettings]]
    plain: int = 3


def test_weights_are_found_however_deep_settings_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    owns = [Own(url=f"net-{digit}.pth", sha256=digit * 64) for digit in "abc"]
    deep = Deep(heads={own.url: [WeightedSettings(weights=own)] for own in owns})
    told = {own.url: own.sha256 for own in owns} | {"came-with-a-package": "f" * 64}
    monkeypatch.setattr(analyzers, "weights", lambda _, __: told)
    found = needs(settings.Recipe(analyzers={NAME: deep}))
    assert [need.wanted for need in found] == owns


def test_a_package_that_lacks_is_told_before_any_weights_are_asked_for(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgbatch.ready.find_spec", lambda name: None if name == "torch" else name)
    standard = settings.recipe_text("standard")
    with pytest.raises(
        MissingExtraError, match="classify, embed, clip need the package torch"
    ) as raised:
        corpus.run_inline(pictures, tmp_path / "d", recipe=standard)
    assert "scripts/setup models" in raised.value.remedy
    assert not (tmp_path / "d").exists()
    read = settings.read_recipe(standard, settings_of=analyzers.settings_of)
    lying = [each.error for each in look(read, settings.read_limits())]
    assert lying[0].startswith("analyzers classify, embed, clip need the package torch")
    told = list(doctor.examine(str(pictures), str(tmp_path / "d"), "standard"))
    assert [line.code for line in told if line.finding.check == "packages"] == [15]
    request = Request(str(pictures), str(tmp_path / "d"), standard, "")
    plan = "\n".join(lines(planned.plan(request, settings.read_limits(), corpus.Silent())))
    assert f"\na package is missing, and a run would end at once: {lying[0]}\n" in plan
    assert plan.count("scripts/setup models") == 1
    # A run would end with what lacks first.
    assert doctor.worst(told) == MissingExtraError.exit_code == raised.value.exit_code


def test_weights_that_several_analyzers_load_are_told_of_once(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CACHE", "MIRROR"):
        monkeypatch.setenv(f"IMGBATCH_MODEL_{name}", str(tmp_path / "none"))
    text = "[analyzers.classify]\n[analyzers.embed]\n"
    (tmp_path / "r.toml").write_text(text)
    request = Request(str(pictures), str(tmp_path / "d"), text, "")
    plan = "\n".join(lines(planned.plan(request, settings.read_limits(), corpus.Silent())))
    assert "weights of classify, embed: resnet50 is missing" in plan
    assert plan.count("`imgbatch models push resnet50 ") == 1
    told = doctor.examine(str(pictures), str(tmp_path / "d"), str(tmp_path / "r.toml"))
    (line,) = [line for line in told if line.finding.check == "weights"]
    assert line.finding.text.startswith("of classify, embed: resnet50 is not on this machine")


def test_without_its_weights_a_new_run_ends_before_anything_is_written(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    for text, why in (
        (recipe(f"{hub.url}/gone.txt", b"1"), "404"),
        (recipe(tmp_path / "gone.txt", b"1"), "this machine has no"),
        (f'[analyzers."{NAME}"]\nweights = {{ url = "{hub.url}/one.txt" }}\n', "have no sha256"),
    ):
        with pytest.raises(WeightsError, match=why):
            corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=told())
        assert not (tmp_path / "d").exists()


def test_all_that_is_missing_is_told_at_once(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    text = recipe(f"{hub.url}/gone.txt", b"1") + "[analyzers.classify]\n"
    with pytest.raises(WeightsError, match=r"gone\.txt is not .*; resnet50 is not") as caught:
        corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=told(fetch_attempts=1))
    assert "models pull resnet50" in caught.value.remedy
    assert f"models pull {hub.url}/gone.txt" in caught.value.remedy


def test_weights_that_are_others_than_their_digest_end_a_run_before_anything_is_written(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    hub.files["one.txt"] = b"2"
    text = recipe(f"{hub.url}/one.txt", b"1")
    with pytest.raises(WeightsError, match=f"sha256 {sha256(b'2')}"):
        corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=told())
    assert not (tmp_path / "d").exists()


def test_a_run_tells_how_much_of_its_weights_is_here(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    hub.files["one.txt"] = b"1"
    request = Request(str(pictures), str(tmp_path / "d"), recipe(f"{hub.url}/one.txt", b"1"), "")
    stream = io.StringIO()
    run(request, told(), crew.inline, Lines(stream, as_json=True, every=0.0))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    fetched = [event for event in events if event["event"] == "fetching"]
    assert fetched == [{"event": "fetching", "weights": f"{hub.url}/one.txt", "bytes": 1, "of": 0}]


def test_a_finished_run_needs_its_weights_no_more_and_new_sources_do(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    hub.files["one.txt"] = b"1"
    text = recipe(f"{hub.url}/one.txt", b"1")
    corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=told())
    hub.files.clear()
    elsewhere = told(model_cache=str(tmp_path / "elsewhere"))
    assert corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=elsewhere).shards == 0
    corpus.many(pictures, 5)
    before = files(tmp_path / "d")
    with pytest.raises(WeightsError, match="404"):
        corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=elsewhere)
    added = {name.partition("/")[0] for name in files(tmp_path / "d") - before}
    assert added <= {"runs", "logs", "progress"}
    assert Dataset.open(str(tmp_path / "d")).read("manifest").num_rows == 3


def test_plan_and_doctor_say_where_weights_lie_and_bring_none(
    pictures: Path, hub: Files, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGBATCH_MODEL_CACHE", str(tmp_path / "cache"))
    text = recipe(f"{hub.url}/one.txt", b"1")
    (tmp_path / "r.toml").write_text(text)
    request = Request(str(pictures), str(tmp_path / "d"), text, "")

    def plan() -> str:
        return "\n".join(lines(planned.plan(request, told(), corpus.Silent())))

    def weights_line() -> doctor.Line:
        found = doctor.examine(str(pictures), str(tmp_path / "d"), str(tmp_path / "r.toml"))
        return next(line for line in found if line.finding.check == "weights")

    assert "one.txt is missing, and a run would end at once" in plan()
    assert "to do: Once" in plan()
    line = weights_line()
    assert (line.part, line.finding.state, line.code) == ("here", "failed", 23)
    hub.files["one.txt"] = b"1"
    assert "one.txt is downloaded first" in plan()
    assert weights_line().finding.text.endswith("to be downloaded first")
    assert not (tmp_path / "cache").exists()
    corpus.run_inline(pictures, tmp_path / "other", recipe=text, limits=told())
    assert "one.txt is on this machine" in plan()
    assert weights_line().finding.state == "ok"


def test_record_report_and_codebook_name_weights_and_what_their_licence_does_not_allow(
    pictures: Path, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "buffalo_l.zip"
    path.write_bytes(b"7")
    there = {"url": path.as_uri(), "sha256": sha256(b"7")}
    models = {m.name: m for m in registry.known()}
    models["buffalo_l"] = models["buffalo_l"].model_copy(update=there)
    monkeypatch.setattr(registry, "_read", lambda: models)
    text = f'[analyzers.image]\n[analyzers."{NAME}"]\nmodel = "buffalo_l"\n'
    corpus.run_inline(pictures, tmp_path / "d", recipe=text, limits=told())
    dataset = Dataset.open(str(tmp_path / "d"))
    recorded = dataset.runs()[-1]["weights"]
    assert [(w["analyzer"], w["name"], w["sha256"]) for w in recorded] == [
        (NAME, "buffalo_l", sha256(b"7"))
    ]
    write_report(dataset)
    page = (tmp_path / "d" / "report" / "index.html").read_text("utf-8")
    words = re.sub(r"\s+", " ", page)
    assert f"Rows of {NAME} come from buffalo_l. InsightFace allows non-commercial" in words
    codebook = (tmp_path / "d" / "report" / "codebook.md").read_text("utf-8")
    assert "## Weights" in codebook
    assert "non-commercial research only" in codebook


def pack_of(path: Path, data: bytes) -> list[tuple[str, str]]:
    """Return licences and limits of a pack that a recipe names by its path."""
    own = f'weights = {{ url = "{path}", sha256 = "{sha256(data)}" }}'
    text = f'[analyzers.faces]\ndetector = "pack"\nrecognition = true\n{own}\n'
    read = settings.read_recipe(text, settings_of=analyzers.settings_of)
    return [(need.licence, need.limits) for need in needs(read)]


def test_a_file_of_the_registry_keeps_its_licence_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {model.name: model for model in registry.known()}
    buffalo = models["buffalo_l"]
    digest = {"sha256": sha256(b"7")}
    monkeypatch.setattr(registry, "_read", lambda: {"buffalo_l": buffalo.model_copy(update=digest)})
    licence = (buffalo.licence.name, buffalo.licence.limits)
    assert licence[0] == "non-commercial research"
    assert pack_of(tmp_path / "mine", b"7") == [licence]
    # Any other pack: nobody can tell, and what InsightFace allows is said.
    ((name, limits),) = pack_of(tmp_path / "mine.zip", b"8")
    assert name == "the user's own"
    assert "those of InsightFace are for non-commercial research only" in limits


def test_a_pack_is_known_by_what_is_in_it_and_a_file_of_torch_is_none(
    told: Told, tmp_path: Path
) -> None:
    told()
    limits = {}
    for name in ("det.onnx", "archive/data.pkl", ""):
        path = tmp_path / "weights"
        path.write_bytes(b"no zip file")
        if name:
            with zipfile.ZipFile(path, "w") as opened:
                opened.writestr(name, "1")
        fetch(Own(url=str(path), sha256=sha256(path.read_bytes())))
        ((_, limits[name]),) = pack_of(path, path.read_bytes())
    assert "InsightFace" in limits["det.onnx"]
    assert limits["archive/data.pkl"] == limits[""] == ""


@pytest.mark.slow
def test_pull_and_push_say_the_terms_of_a_pack_in_words_and_in_json(
    hub: Files, tmp_path: Path
) -> None:
    hub.files |= {"mine.zip": b"7", "one.txt": b"1"}
    cache = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "cache")}
    store = str(tmp_path / "mirror")
    for verb, more in (("pull", ()), ("push", (store,))):
        words = ("models", verb, f"{hub.url}/mine.zip", *more, "--sha256", sha256(b"7"))
        told = json.loads(imgbatch(*words, "--json", **cache).stdout)
        assert told["licence"] == "the user's own"
        assert "non-commercial research only" in told["limits"]
        assert told["limits"] in imgbatch(*words, **cache).stdout
        other = ("models", verb, f"{hub.url}/one.txt", *more, "--sha256", sha256(b"1"))
        assert json.loads(imgbatch(*other, "--json", **cache).stdout)["limits"] == ""
        assert "licence" not in imgbatch(*other, **cache).stdout


def imgbatch(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imgbatch", *map(str, words)]
    environment = {**os.environ, "IMGBATCH_FETCH_ATTEMPTS": "1", **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_workers_on_ray_read_the_mirror_though_no_hub_is_there(
    pictures: Path, hub: Files, tmp_path: Path
) -> None:
    url = f"{hub.url}/one.txt"
    hub.files["one.txt"] = b"1"
    (tmp_path / "r.toml").write_text(recipe(url, b"1"))
    mirror = str(tmp_path / "mirror")
    there = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "pusher")}
    pushed = imgbatch("models", "push", url, "--sha256", sha256(b"1"), mirror, **there)
    assert pushed.returncode == 0, pushed.stderr
    hub.files.clear()
    words = ("run", pictures, tmp_path / "d", "--recipe", tmp_path / "r.toml")
    here = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "worker")}
    lacking = imgbatch(*words, **here)
    assert lacking.returncode == 23, lacking.stderr
    assert "WeightsError" in lacking.stderr
    assert not (tmp_path / "d").exists()
    ran = imgbatch(*words, **here, IMGBATCH_MODEL_MIRROR=mirror)
    assert ran.returncode == 0, ran.stderr
    assert said(tmp_path / "d") == [1, 1, 1]


def test_all_that_a_recipe_needs_is_pulled_and_pushed_at_once(hub: Files, tmp_path: Path) -> None:
    hub.files["one.txt"] = b"1"
    (tmp_path / "r.toml").write_text(recipe(f"{hub.url}/one.txt", b"1"))
    cache = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "cache")}
    words = ("--recipe", tmp_path / "r.toml", "--json")
    pulled = imgbatch("models", "pull", *words, **cache)
    assert json.loads(pulled.stdout)["how"] == "url", pulled.stderr
    pushed = imgbatch("models", "push", tmp_path / "mirror", *words, **cache)
    assert json.loads(pushed.stdout)["sent"], pushed.stderr
    assert (tmp_path / "mirror" / sha256(b"1") / "one.txt").read_bytes() == b"1"
    assert imgbatch("models", "pull", **cache).returncode == 10


@pytest.mark.slow
def test_the_commands_tell_what_they_did_and_say_it_in_json(hub: Files, tmp_path: Path) -> None:
    cache = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "cache")}
    hub.files["one.txt"] = b"1"
    words = ("models", "pull", f"{hub.url}/one.txt", "--sha256", sha256(b"1"), "--json")
    hows = [json.loads(imgbatch(*words, **cache).stdout)["how"] for _ in range(2)]
    assert hows == ["url", "there"]
    assert len(hub.asked) == 1
    (tmp_path / "cache" / "weights" / sha256(b"1") / "one.txt").write_bytes(b"9")
    verified = imgbatch("models", "verify", **cache)
    assert verified.returncode == 23
    assert re.search(r"damaged +1 bytes +\S+one\.txt", verified.stdout)
    pulled = imgbatch(*words[:-1], **cache)
    assert "what lay in the cache was damaged, and was replaced" in pulled.stdout
    assert imgbatch("models", "verify", **cache).returncode == 0


def test_no_command_and_no_record_tells_a_secret_in_the_address_of_weights(
    pictures: Path, hub: Files, told: Told, tmp_path: Path
) -> None:
    secret = "0123456789abcdef0123"
    hub.files[f"one.txt?X-Amz-Signature={secret}"] = b"1"
    url = f"{hub.url}/one.txt?X-Amz-Signature={secret}"
    cache = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "cache")}
    digest = ("--sha256", sha256(b"1"))
    for words in (
        ("pull", url),
        ("pull", url, *digest),
        ("push", url, str(tmp_path / "m"), *digest),
    ):
        ended = imgbatch("models", *words, **cache)
        assert "one.txt" in ended.stdout + ended.stderr
        assert secret not in ended.stdout + ended.stderr
    assert (tmp_path / "m" / sha256(b"1") / "one.txt").read_bytes() == b"1"
    corpus.run_inline(pictures, tmp_path / "d", recipe=recipe(url, b"1"), limits=told())
    assert said(tmp_path / "d") == [1, 1, 1]
    written = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert [str(path) for path in written if secret.encode() in path.read_bytes()] == []


def test_a_copy_of_a_models_file_is_taken_for_the_model(shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "ultraface-rfb-320.onnx"
    if not path.exists():
        pytest.skip("the shared folder has no UltraFace")
    cache = {"IMGBATCH_MODEL_CACHE": str(tmp_path / "cache")}
    assert imgbatch("models", "pull", path, **cache).returncode == 0
    shown = imgbatch("models", "show", "ultraface-rfb-320", "--json", **cache)
    assert json.loads(shown.stdout)["here"]
    pulled = imgbatch("models", "pull", "ultraface-rfb-320", **cache)
    assert "was there already" in pulled.stdout, pulled.stderr
