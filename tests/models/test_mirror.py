"""A mirror has what was pushed, and who reads it asks nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import WeightsError
from imgbatch.models import cache
from imgbatch.models.mirror import push
from imgbatch.models.weights import Own, fetch, get, where
from imgbatch.storage import access, clients, open_store
from tests.models.test_weights import DATA, kept, on, sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.settings import Limits
    from tests.servers.files import Files

    Told = Callable[..., Limits]


@pytest.fixture(params=["folder", "s3", "gs"])
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    if request.param == "folder":
        return str(tmp_path / "mirror")
    bucket = request.getfixturevalue("bucket" if request.param == "s3" else "gs_bucket")
    return f"{request.param}://{bucket}/mirror-{tmp_path.name}"


def test_workers_read_the_mirror_and_ask_no_hub(
    hub: Files, told: Told, tmp_path: Path, mirror: str
) -> None:
    wanted = on(hub)
    assert push(wanted, mirror).sent
    assert not push(wanted, mirror).sent
    hub.asked.clear()
    told(model_cache=str(tmp_path / "worker"), model_mirror=mirror)
    assert where(wanted) == "mirror"
    had = get(wanted)
    assert (had.how, had.path.read_bytes()) == ("mirror", DATA)
    assert get(wanted).how == "there"
    assert hub.asked == []


def test_what_the_mirror_lacks_is_said_with_how_to_push_it(
    hub: Files, told: Told, mirror: str
) -> None:
    wanted = on(hub)
    told(model_mirror=mirror)
    for ask in (where, fetch):
        with pytest.raises(WeightsError, match=r"cannot be had: .*net\.pth is not there") as caught:
            ask(wanted)
        push_it = f"`imgbatch models push {wanted.url} --sha256 {wanted.sha256} {mirror}`"
        assert push_it in caught.value.remedy
    assert hub.asked == []
    assert push(wanted, mirror).sent  # who pushes asks the hub, mirror or not


def test_what_is_damaged_in_the_mirror_is_never_used_and_pushed_anew(
    hub: Files, told: Told, tmp_path: Path
) -> None:
    wanted, url = on(hub), str(tmp_path / "mirror")
    push(wanted, url)
    key = f"{sha256(DATA)}/net.pth"
    open_store(url).put(key, DATA[:-1] + b"x")
    told(model_cache=str(tmp_path / "worker"), model_mirror=url)
    with pytest.raises(WeightsError, match="it is not used"):
        fetch(wanted)
    assert kept() == []
    assert push(wanted, url).sent
    assert fetch(wanted).read_bytes() == DATA


def test_a_file_of_ones_own_reaches_machines_that_do_not_have_it(
    told: Told, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(DATA)
    wanted = Own(url=str(path), sha256=sha256(DATA))
    with pytest.raises(WeightsError, match=r"this machine has no .*other\.pth"):
        fetch(Own(url=str(tmp_path / "other.pth"), sha256=sha256(DATA)))
    push(wanted, str(tmp_path / "mirror"))
    path.unlink()
    told(model_mirror=str(tmp_path / "mirror"))
    assert fetch(wanted) == cache.folder() / sha256(DATA) / "mine.pth"


def test_weights_of_ones_own_may_lie_in_a_bucket(bucket: str, told: Told) -> None:
    told()
    open_store(f"s3://{bucket}/own").put("mine.pth", DATA)
    wanted = Own(url=f"s3://{bucket}/own/mine.pth", sha256=sha256(DATA))
    assert where(wanted) == "url"
    assert fetch(wanted).read_bytes() == DATA


def test_options_of_a_bucket_stand_in_the_address_of_weights(bucket: str, told: Told) -> None:
    told()
    open_store(f"s3://{bucket}/own").put("mine.pth", DATA)
    wanted = Own(url=f"s3://{bucket}/own/mine.pth?region=eu-west-1", sha256=sha256(DATA))
    assert fetch(wanted).name == "mine.pth"
    assert access.options_of(f"s3://{bucket}").region == "eu-west-1"
    clients.forget()
