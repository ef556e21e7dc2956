"""How a bucket is reached: what its URL says, what the environment says, what workers are told."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import SettingsError
from imgbatch.settings import Limits
from imgbatch.storage import access, clients, locate, open_store
from imgbatch.storage.access import Access
from imgbatch.storage.clients import client
from imgbatch.storage.options import GoogleOptions, S3Options, split
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from tests.servers.scripted import Scripted

STAMPED = {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"}


def s3(bucket: str = "s3://b") -> S3Options:
    found = access.options_of(bucket)
    assert isinstance(found, S3Options)
    return found


def google(bucket: str = "gs://b") -> GoogleOptions:
    found = access.options_of(bucket)
    assert isinstance(found, GoogleOptions)
    return found


@pytest.mark.usefixtures("untold")
def test_a_query_says_how_a_bucket_is_reached_and_is_no_part_of_root_or_addresses() -> None:
    url = "s3://b/a/prefix?profile=lab&region=eu-west-1&endpoint=https://s3.lab.org/&requester_pays=true"
    store = open_store(url)
    assert store.root == "s3://b/a/prefix"
    assert store.address("x y.jpg") == "s3://b/a/prefix/x y.jpg"
    assert s3() == S3Options(
        profile="lab", region="eu-west-1", endpoint="https://s3.lab.org", requester_pays=True
    )
    assert open_store(store.root).root == store.root


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://b?regoin=x", "unknown key 'regoin'; did you mean 'region'"),
        ("s3://b?project=x", "unknown key 'project'; did you mean"),
        ("gs://b?profile=x", "unknown key 'profile'"),
        ("s3://b?anonymous=maybe", "anonymous = 'maybe'"),
        ("s3://b?endpoint=minio:9000", "http://"),
        ("s3://b?region=a&region=b", "'region' is given twice"),
        ("s3://b?anonymous=true&profile=lab", "exclude each other"),
        ("s3://", "names no bucket"),
        ("gs:///x", "names no bucket"),
        ("s3://?region=x", "names no bucket"),
    ],
)
def test_an_option_that_is_not_known_or_does_not_fit_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_store(url)
    assert says in str(caught.value)


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA1:hunter2@b/x",
        "s3://b?endpoint=https://me:hunter2@s3.lab.org",
        "s3://b?secret_access_key=hunter2",
        "s3://b?aws_secret_access_key=hunter2&region=x",
        "gs://me:hunter2@b",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_store(url)
    assert "hunter2" not in f"{caught.value} {caught.value.remedy}"


def test_the_environment_is_read_as_each_cloud_s_programs_read_it(
    untold: pytest.MonkeyPatch,
) -> None:
    untold.setenv("AWS_PROFILE", "lab")
    untold.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    untold.setenv("AWS_ENDPOINT_URL", "https://general.org")
    assert s3() == S3Options(profile="lab", region="eu-west-1", endpoint="https://general.org")
    untold.setenv("AWS_ENDPOINT_URL_S3", "https://s3.org")
    untold.setenv("AWS_REGION", "eu-west-2")
    untold.setenv("AWS_REQUEST_PAYER", "requester")
    assert s3() == S3Options(
        profile="lab", region="eu-west-2", endpoint="https://s3.org", requester_pays=True
    )
    untold.setenv("AWS_ACCESS_KEY_ID", "k")
    untold.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert s3().profile is None, "keys win over a profile that only the environment names"
    access.remember("s3://b", {"profile": "other", "region": "us-west-1"})
    assert (s3().profile, s3().region, s3().endpoint) == ("other", "us-west-1", "https://s3.org")
    assert s3("s3://c").region == "eu-west-2", "another bucket is not meant"


def test_the_emulator_s_variable_is_read_as_google_s_library_reads_it(
    untold: pytest.MonkeyPatch,
) -> None:
    untold.setenv("STORAGE_EMULATOR_HOST", "localhost:4443")
    assert google() == GoogleOptions(endpoint="http://localhost:4443", anonymous=True)
    untold.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys/lab.json")
    assert google() == GoogleOptions(endpoint="http://localhost:4443", credentials="/keys/lab.json")


def test_a_variable_that_does_not_fit_is_refused(untold: pytest.MonkeyPatch) -> None:
    untold.setenv("AWS_SKIP_SIGNATURE", "perhaps")
    with pytest.raises(SettingsError, match="options of s3://b: anonymous = 'perhaps'"):
        s3()


@pytest.mark.usefixtures("untold")
def test_a_bucket_has_one_set_of_options_in_a_process() -> None:
    open_store("s3://b/in?region=eu-west-1")
    open_store("s3://b/out?region=eu-west-1")
    open_store("s3://b/more")
    with pytest.raises(SettingsError, match="s3://b is given two sets of options"):
        open_store("s3://b/out2?region=eu-west-2")


@pytest.mark.usefixtures("keys")
def test_options_hold_for_stores_of_the_bucket_that_were_opened_before(scripted: Scripted) -> None:
    scripted.always = Answer(body=b"x", headers=STAMPED)
    former = open_store("s3://b/out")
    open_store(f"s3://b/in?endpoint={scripted.url}&requester_pays=true")
    assert former.get("x") == b"x"
    store, name = locate("s3://b/in/a.jpg")
    assert store.get(name) == b"x"
    assert [asked.path for asked in scripted.asked] == ["/b/out/x", "/b/in/a.jpg"]
    assert {asked.headers["x-amz-request-payer"] for asked in scripted.asked} == {"requester"}


@pytest.mark.usefixtures("untold")
def test_anonymous_requests_are_not_signed(scripted: Scripted) -> None:
    scripted.always = Answer(body=b"x", headers=STAMPED)
    assert open_store(f"s3://b?endpoint={scripted.url}&anonymous=true").get("x") == b"x"
    assert open_store(f"gs://b?endpoint={scripted.url}&anonymous=true").get("x") == b"x"
    assert all("authorization" not in asked.headers for asked in scripted.asked)


@pytest.mark.usefixtures("untold")
def test_who_pays_with_google_is_said_in_each_request(scripted: Scripted) -> None:
    scripted.always = Answer(body=b"x", headers=STAMPED)
    open_store(f"gs://b?endpoint={scripted.url}&anonymous=true&project=lab").get("x")
    assert scripted.asked[0].headers["x-goog-user-project"] == "lab"


@pytest.mark.usefixtures("keys")
def test_many_threads_that_open_one_bucket_share_a_client_and_its_options(
    scripted: Scripted,
) -> None:
    scripted.always = Answer(body=b"x", headers=STAMPED)
    barrier = threading.Barrier(16)

    def read(number: int) -> int:
        barrier.wait()
        store = open_store(f"s3://b/{number % 4}?endpoint={scripted.url}")
        assert store.get("x") == b"x"
        return id(client("s3://b"))

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(read, range(16)))) == 1


@pytest.mark.usefixtures("keys")
def test_what_is_uploaded_carries_its_checksum_and_its_kind_in_one_request(
    scripted: Scripted,
) -> None:
    scripted.always = Answer(headers={"ETag": '"1"'})
    store = open_store(f"s3://b?endpoint={scripted.url}")
    store.put("report/index.html", b"x" * 9_000_000)
    (asked,) = scripted.asked
    assert (asked.method, len(asked.body)) == ("PUT", 9_000_000)
    assert asked.headers["x-amz-checksum-sha256"]
    assert asked.headers["content-type"] == "text/html"


@pytest.mark.usefixtures("untold")
def test_workers_are_told_what_the_driver_knows_and_no_secret(untold: pytest.MonkeyPatch) -> None:
    untold.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    untold.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    untold.setenv("AWS_ENDPOINT_URL", "https://s3.lab.org")
    open_store("s3://in/corpus?region=eu-west-1")
    open_store("s3://out")
    told = access.access()
    packed = pickle.dumps(told)
    assert b"hunter2" not in packed
    assert b"AKIAENV" not in packed
    clients.forget()
    untold.delenv("AWS_ENDPOINT_URL")
    access.adopt(pickle.loads(packed), Limits(request_seconds=7))
    assert s3("s3://in") == S3Options(region="eu-west-1", endpoint="https://s3.lab.org")
    assert s3("s3://out") == S3Options(endpoint="https://s3.lab.org")
    assert access.waits().request_seconds == 7


@pytest.mark.usefixtures("untold")
def test_what_a_process_knows_by_itself_is_not_adopted(untold: pytest.MonkeyPatch) -> None:
    open_store("s3://b?region=eu-west-1")
    before = access.edition()
    access.adopt(access.access(), Limits())
    assert access.edition() == before
    untold.setenv("AWS_ENDPOINT_URL", "https://s3.lab.org")
    assert s3().endpoint == "https://s3.lab.org"
    access.adopt(Access(), Limits())
    assert access.edition() == before


@pytest.mark.usefixtures("keys")
def test_a_bucket_has_one_client_for_all_threads_until_something_changes(
    untold: pytest.MonkeyPatch,
) -> None:
    first = client("s3://b")
    assert client("s3://b") is first
    untold.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert client("s3://b") is not first


@pytest.mark.usefixtures("untold")
def test_roots_and_addresses_lead_back_whatever_a_prefix_holds() -> None:
    for given in (
        "s3://b/100%25 sure",
        "s3://b/what%3F/x",
        "s3://b/a+b&c=d",
        "gs://b/Z\u00fcrich/",
    ):
        root = open_store(given).root
        assert open_store(root).root == root
        store, name = locate(open_store(root).address("a?b%.jpg"))
        assert open_store(root).address("a?b%.jpg") == store.address(name)
    assert open_store("s3://b/what%3F").root == "s3://b/what%3F"
    assert split("memory://b?x=1") == ("memory://b?x=1", {})
