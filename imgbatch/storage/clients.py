"""Enters: a bucket. Leaves: the obstore client that reaches it, and what deltalake is told.

Clients are shared by all stores of a bucket in a process, and with them their connections. A new
one is made when what is known of the bucket changes (`access.edition`).
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import obstore
from obstore.store import GCSStore, S3Store

from imgbatch.errors import SettingsError
from imgbatch.settings import variables
from imgbatch.storage import access, credentials
from imgbatch.storage.access import S3_KEYS, insecure, options_of, waits
from imgbatch.storage.options import PAYER, GoogleOptions, S3Options

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, RetryConfig, S3Config

    from imgbatch.storage.access import Waits
    from imgbatch.storage.options import Options

# A request that a bucket drops or answers with 5xx is repeated by obstore itself, so few times that
# they do not multiply with the attempts that are made and logged above it.
REPEATED_SECONDS = timedelta(seconds=30)
# Delta's own goes on for about a minute, and never longer than a store may be out.
DELTA_SECONDS = 120
DEFAULT_REGION = "us-east-1"
# Sent with what is put, so that a server refuses what came otherwise. Google is sent none: `echo`.
CHECKSUM = "SHA256"


class Client:
    """One bucket as a process reaches it.

    Attributes:
        store: of obstore, at the bucket's root.
        options: what it was made with.
    """

    def __init__(self, bucket: str, options: Options, waits: Waits) -> None:
        self.bucket = bucket
        self.options = options
        self._name = bucket.partition("://")[2]
        self._waits = waits
        self._chain: credentials.Chain | None = None
        self.store: S3Store | GCSStore = (
            self._s3(options) if isinstance(options, S3Options) else self._google(options)
        )

    def _http(self) -> ClientConfig:
        config: ClientConfig = {
            "connect_timeout": timedelta(seconds=self._waits.connect_seconds),
            "timeout": timedelta(seconds=self._waits.request_seconds),
        }
        if insecure(self.options) or (self._chain and _plain(self._chain.endpoint)):
            config["allow_http"] = True
        if isinstance(self.options, GoogleOptions) and self.options.project:
            config["default_headers"] = {PAYER: self.options.project}
        return config

    def _repeats(self) -> RetryConfig:
        return {
            "max_retries": self._waits.request_attempts - 1,
            "retry_timeout": REPEATED_SECONDS,
        }

    def _s3(self, options: S3Options) -> S3Store:
        self._chain = credentials.s3_chain(self.bucket, options)
        return S3Store(
            self._name,
            config=cast("S3Config", {**self._place(), "checksum_algorithm": CHECKSUM}),
            client_options=self._http(),
            retry_config=self._repeats(),
            credential_provider=self._chain.provider if self._chain else None,
        )

    def _place(self) -> dict[str, Any]:
        """Return where the bucket is and who pays, as obstore takes it."""
        options = cast("S3Options", self.options)
        region, endpoint = options.region, options.endpoint
        if self._chain:
            region, endpoint = region or self._chain.region, endpoint or self._chain.endpoint
        found: dict[str, Any] = {"region": region or DEFAULT_REGION}
        if endpoint:
            # The one for S3 wins over the general one, which obstore may read by itself.
            found |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
        if options.anonymous:
            found["skip_signature"] = True
        if options.requester_pays:
            found["request_payer"] = True
        return found

    def _google(self, options: GoogleOptions) -> GCSStore:
        config: dict[str, Any] = {}
        if options.endpoint:
            config["base_url"] = options.endpoint
        if options.anonymous:
            config["skip_signature"] = True
        return GCSStore(
            self._name,
            config=cast("GCSConfig", config),
            client_options=self._http(),
            retry_config=self._repeats(),
            credential_provider=credentials.google_provider(self.bucket, options),
        )

    def delta_options(self) -> dict[str, str]:
        """Return deltalake's storage options for a table in this bucket.

        Keys that boto3 found are those of this moment, good for ten minutes or more: who keeps a
        table open longer asks again. deltalake refreshes what it finds by itself: keys in the
        environment never change, and Google's key files and machines it asks on its own.

        Raises:
            AccessError: there are no credentials.
            SettingsError: a project is to be billed with Google, which deltalake cannot say.
        """
        told = {
            "connect_timeout": f"{self._waits.connect_seconds * 1000:.0f}ms",
            "timeout": f"{self._waits.request_seconds * 1000:.0f}ms",
            # Not as `_repeats`: not all that asks Delta for something asks it again.
            "retry_timeout": f"{DELTA_SECONDS:.0f}s",
        }
        if self._http().get("allow_http"):
            told["allow_http"] = "true"
        if isinstance(self.options, S3Options):
            return told | self._s3_delta()
        return told | self._google_delta(self.options)

    def _s3_delta(self) -> dict[str, str]:
        place = {
            name if name.startswith("aws_") else f"aws_{name}": str(value).lower()
            if value is True
            else str(value)
            for name, value in self._place().items()
        }
        place["aws_checksum_algorithm"] = CHECKSUM
        # So is a commit: of several writers of one version, one gets it.
        place["aws_conditional_put"] = "etag"
        return place | credentials.s3_keys(self.bucket, self._chain)

    def _google_delta(self, options: GoogleOptions) -> dict[str, str]:
        if options.project:
            # object_store takes it as a header, and deltalake hands no headers on.
            raise SettingsError(
                f"{self.bucket}: ?project={options.project} cannot be given for a DATASET: Delta "
                "Lake's library does not say who pays",
                "Leave ?project= out, and write the dataset to a bucket whose requester does not "
                "pay; for an INPUT it may stay.",
            )
        if credentials.is_emulated(options):
            return {"google_service_account_key": credentials.emulated_key(options)}
        told = {"google_base_url": options.endpoint} if options.endpoint else {}
        if options.anonymous:
            told["google_skip_signature"] = "true"
        elif options.credentials:
            told["google_application_credentials"] = options.credentials
        return told

    def link(self, key: str, seconds: int) -> str | None:
        """Return a link that opens an object for anybody who has it; None where nobody can sign.

        With Google it takes a key file to sign one.
        """
        options, store = self.options, self.store
        if isinstance(options, GoogleOptions):
            path = None if options.anonymous else credentials.signing_key(options)
            if path is None or credentials.is_emulated(options):
                return None
            place: GCSConfig = {"application_credentials": path}
            if options.endpoint:
                place["base_url"] = options.endpoint
            store = GCSStore(self._name, config=place, client_options=self._http())
        elif options.anonymous:
            return None
        return obstore.sign(store, "GET", key, timedelta(seconds=seconds))


def _plain(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith("http://")


_clients: dict[tuple[object, ...], Client] = {}
_lock = threading.Lock()


def client(bucket: str) -> Client:
    """Return the client of a bucket such as `s3://photos`.

    Raises:
        SettingsError: an option in the environment does not fit.
        AccessError: there are no credentials for it.
    """
    options, patience = options_of(bucket), waits()
    # Keys that changed in the environment make another client.
    keys = tuple(sorted(variables(*S3_KEYS).items()))
    key = (bucket, options, patience, keys)
    with _lock:
        if key not in _clients:
            _clients[key] = Client(bucket, options, patience)
        return _clients[key]


def forget() -> None:
    """Forget all that was said of buckets, and their clients: as if this process were new."""
    access.forget()
    with _lock:
        _clients.clear()
