"""Weights are had once, whole, or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import WeightsError
from imgbatch.models import cache, registry, weights
from imgbatch.models.audit import audit
from imgbatch.models.weights import Own, digest_of, fetch, get, where
from tests.servers.files import Fault, Files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.settings import Limits

    Told = Callable[..., Limits]

DATA = bytes(range(256)) * 4096 * 3  # 3 MiB, more than one chunk
pytestmark = pytest.mark.usefixtures("told")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def on(hub: Files, data: bytes = DATA, name: str = "net.pth") -> Own:
    """Put a file on the hub, and return what a recipe says of it."""
    hub.files[name] = data
    return Own(url=f"{hub.url}/{name}", sha256=sha256(data))


def kept() -> list[str]:
    """The names of all files in the cache but locks."""
    found = cache.folder().rglob("*")
    return sorted(path.name for path in found if path.is_file() and path.name != cache.LOCK)


def test_what_was_fetched_once_is_there_without_the_hub(hub: Files) -> None:
    wanted = on(hub)
    path = fetch(wanted)
    assert path.read_bytes() == DATA
    hub.files.clear()
    assert fetch(wanted) == path
    assert get(wanted).how == "there"
    assert hub.asked == ["/net.pth"]


def test_a_model_of_the_registry_is_held_to_the_first_digits_of_its_digest(hub: Files) -> None:
    hub.files["resnet18-f37072fd.pth"] = DATA
    url = f"{hub.url}/resnet18-f37072fd.pth"
    model = registry.find("resnet18").model_copy(update={"url": url})
    with pytest.raises(WeightsError, match=f"sha256 {sha256(DATA)}, not f37072fd"):
        fetch(model)
    right = model.model_copy(update={"sha256": sha256(DATA)[:8]})
    assert fetch(right).read_bytes() == DATA


def test_a_damaged_file_of_the_cache_is_told_and_replaced(hub: Files) -> None:
    wanted = on(hub)
    path = fetch(wanted)
    damage(path)
    with pytest.warns(UserWarning, match=r"net\.pth was damaged, and was fetched anew"):
        assert fetch(wanted).read_bytes() == DATA
    assert len(hub.asked) == 2


def test_a_damaged_file_of_the_cache_is_not_used_where_no_other_can_be_had(hub: Files) -> None:
    wanted = on(hub)
    damage(fetch(wanted))
    hub.files.clear()
    with pytest.raises(WeightsError, match=r"cannot be had: .*404"):
        fetch(wanted)
    assert kept() == []


def damage(path: Path) -> None:
    """Change one byte, and no more than that."""
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def test_another_file_than_the_digest_says_is_never_kept(hub: Files) -> None:
    wanted = Own(url=f"{hub.url}/net.pth", sha256="0" * 64)
    hub.files["net.pth"] = DATA
    with pytest.raises(WeightsError, match=f"has sha256 {sha256(DATA)}, not 0000.*it is not used"):
        fetch(wanted)
    assert kept() == []


def test_a_download_that_is_cut_off_goes_on_where_it_ended(hub: Files) -> None:
    wanted = on(hub)
    hub.faults = [Fault(cut=2**20 + 7)]
    assert fetch(wanted).read_bytes() == DATA
    assert len(hub.asked) == 2
    started = int(hub.asked[1].removeprefix("/net.pth bytes=").rstrip("-"))
    assert 0 < started <= 2**20 + 7


def test_a_download_that_brings_some_each_time_is_patiently_gone_on_with(
    hub: Files, told: Told
) -> None:
    told(fetch_attempts=1)
    wanted = on(hub)
    hub.faults = [Fault(cut=2**19) for _ in range(5)]
    assert fetch(wanted).read_bytes() == DATA
    assert len(hub.asked) == 6


def test_a_server_that_breaks_each_time_is_given_up(hub: Files, told: Told) -> None:
    told(fetch_attempts=2)
    wanted = on(hub)
    hub.faults = [Fault(cut=0) for _ in range(9)]
    with pytest.raises(WeightsError, match="cannot be had"):
        fetch(wanted)
    assert len(hub.asked) == 2


def test_a_server_without_ranges_is_asked_for_all_of_it_again(hub: Files) -> None:
    wanted = on(hub)
    hub.ranges = False
    hub.faults = [Fault(cut=2**20 + 7)]
    assert fetch(wanted).read_bytes() == DATA


def test_what_was_begun_of_another_file_is_begun_anew(hub: Files) -> None:
    wanted = on(hub)
    partial = cache.path_of(weights.file_of(wanted)).with_name("net.pth.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"something else" * 99)
    assert fetch(wanted).read_bytes() == DATA
    assert kept() == ["net.pth"]
    assert hub.asked[-1] == "/net.pth"


@pytest.mark.parametrize("extra", [0, 5])
def test_what_was_begun_and_has_all_bytes_is_looked_at(hub: Files, extra: int) -> None:
    wanted = on(hub)
    partial = cache.path_of(weights.file_of(wanted)).with_name("net.pth.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(DATA + b"x" * extra)
    assert fetch(wanted).read_bytes() == DATA
    assert len(hub.asked) == 1 + bool(extra)


def test_a_process_that_was_killed_while_it_downloaded_leaves_nothing_that_counts(
    hub: Files, tmp_path: Path
) -> None:
    wanted = on(hub)
    hub.faults = [Fault(cut=2**20, stall=60)]
    process = subprocess.Popen(fetching(wanted), env=environment(tmp_path))
    partial = cache.path_of(weights.file_of(wanted)).with_name("net.pth.partial")
    while not (partial.exists() and partial.stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept() == ["net.pth.partial"]
    assert fetch(wanted).read_bytes() == DATA
    assert hub.asked[1].startswith("/net.pth bytes=")
    assert kept() == ["net.pth"]


@pytest.mark.slow
def test_of_processes_that_want_the_same_at_once_one_downloads(hub: Files, tmp_path: Path) -> None:
    wanted = on(hub)
    hub.faults = [Fault(stall=1.5)]
    running = [
        subprocess.Popen(fetching(wanted), env=environment(tmp_path), stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [process.communicate()[0].decode().strip() for process in running]
    assert said == [sha256(DATA)] * 4
    assert hub.asked == ["/net.pth"]


def fetching(wanted: Own) -> list[str]:
    """The command line of a process that fetches, and prints the digest of what it got."""
    code = (
        "import hashlib, sys; from imgbatch.models.weights import Own, fetch; "
        "print(hashlib.sha256(fetch(Own(url=sys.argv[1], sha256=sys.argv[2])).read_bytes())"
        ".hexdigest())"
    )
    return [sys.executable, "-c", code, wanted.url, wanted.sha256]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "IMGBATCH_MODEL_CACHE": str(tmp_path / "cache")}


def test_a_server_that_is_busy_is_asked_again_and_one_that_has_nothing_is_not(hub: Files) -> None:
    wanted = on(hub)
    hub.faults = [Fault(status=503)]
    assert fetch(wanted).read_bytes() == DATA
    hub.asked.clear()
    with pytest.raises(WeightsError, match=r"gone\.pth: 404"):
        fetch(Own(url=f"{hub.url}/gone.pth", sha256="0" * 64))
    assert hub.asked == ["/gone.pth"]


def test_offline_the_error_says_what_to_pull_and_from_where(told: Told) -> None:
    told(fetch_attempts=1)
    url = "http://127.0.0.1:9/resnet50.pth"
    model = registry.find("resnet50").model_copy(update={"url": url})
    with pytest.raises(WeightsError, match="resnet50 is not on this machine") as caught:
        fetch(model)
    for word in (url, "`imgbatch models pull resnet50`", "models push", "IMGBATCH_MODEL_MIRROR"):
        assert word in caught.value.remedy


def test_a_cache_that_cannot_be_written_is_named(hub: Files, told: Told, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told(model_cache=str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"net\.pth cannot be written to") as caught:
        fetch(on(hub))
    assert "IMGBATCH_MODEL_CACHE" in caught.value.remedy


def test_a_file_of_ones_own_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(DATA)
    for url in (str(path), path.as_uri()):
        assert fetch(Own(url=url, sha256=sha256(DATA))) == path
    assert kept() == []
    damage(path)
    with pytest.raises(WeightsError, match=r"mine\.pth has sha256"):
        fetch(Own(url=str(path), sha256=sha256(DATA)))


def test_a_missing_digest_of_a_file_that_is_here_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(DATA)
    with pytest.raises(WeightsError, match="have no sha256") as caught:
        digest_of(Own(url=str(tmp_path / "mine.pth")))
    assert f'sha256 = "{sha256(DATA)}"' in caught.value.remedy
    with pytest.raises(WeightsError, match="have no sha256") as caught:
        digest_of(Own(url="https://example.org/mine.pth"))
    assert "sha256sum" in caught.value.remedy


def test_what_is_made_of_weights_is_known_again_until_it_is_damaged() -> None:
    path = cache.folder().parent / "onnx" / "key" / "net.onnx"
    assert not cache.is_sealed(path)
    with cache.writing(path) as partial:
        partial.write_bytes(DATA)
        cache.seal(partial, path)
    assert cache.is_sealed(path)
    assert [kept.state for kept in audit()] == ["whole"]
    damage(path)
    assert not cache.is_sealed(path)
    assert [(kept.path, kept.state) for kept in audit()] == [(path, "damaged")]


def test_where_weights_lie_is_said_without_fetching_them(hub: Files) -> None:
    wanted = on(hub)
    assert where(wanted) == "url"
    assert kept() == []
    fetch(wanted)
    assert where(wanted) == "there"
    with pytest.raises(WeightsError, match="cannot be had"):
        where(Own(url=f"{hub.url}/gone.pth", sha256="0" * 64))


def test_where_weights_lie_decides_over_no_row(tmp_path: Path) -> None:
    here, there = (Own(url=str(tmp_path / name), sha256="0" * 64) for name in ("a", "b"))
    dumps = [own.model_dump(mode="json", context=weights.FINGERPRINT) for own in (here, there)]
    assert dumps[0] == dumps[1] == {"sha256": "0" * 64}
    assert Own.model_validate(here.model_dump(mode="json")) == here


def test_a_secret_in_the_address_of_weights_is_not_told(hub: Files) -> None:
    url = f"{hub.url}/gone.pth?X-Amz-Signature=0123456789abcdef0123"
    with pytest.raises(WeightsError, match=r"gone\.pth") as caught:
        fetch(Own(url=url, sha256="0" * 64))
    assert "0123456789abcdef" not in f"{caught.value} {caught.value.remedy}"
    assert hub.asked == ["/gone.pth?X-Amz-Signature=0123456789abcdef0123"]


def test_half_a_digest_beside_what_was_made_of_weights_vouches_for_nothing() -> None:
    path = cache.folder().parent / "onnx" / "key" / "net.onnx"
    with cache.writing(path) as partial:
        partial.write_bytes(DATA)
        cache.seal(partial, path)
    damage(path)
    beside = path.with_name(path.name + cache.SEAL)
    beside.write_bytes(b"")  # what a full disk leaves of a file that is written anew
    assert not cache.is_sealed(path)
    assert [(kept.path, kept.state) for kept in audit()] == [(path, "damaged")]


def test_a_file_of_ones_own_that_is_not_there_is_not_to_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"this machine has no .*mine\.pth") as caught:
        fetch(Own(url=str(tmp_path / "mine.pth"), sha256=sha256(DATA)))
    assert "pull" not in caught.value.remedy
    assert "Put the file there" in caught.value.remedy
    with pytest.raises(WeightsError) as caught:
        fetch(Own(url="http://127.0.0.1:9/mine.pth", sha256=sha256(DATA)))
    assert "pull FILE" not in caught.value.remedy  # it would not be known for that URL's
