"""Whether the cloud is about to take this very machine back: its metadata service is asked.

Enters: the cloud's name. Leaves: in how many seconds. Only a machine of that cloud can ask.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from imgbatch.errors import CloudError
from imgbatch.settings import variables

if TYPE_CHECKING:
    from collections.abc import Callable

ASK_SECONDS = 2.0
TOKEN_SECONDS = 300
MISSING = 404
ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
SERVICE = "http://169.254.169.254"
HOST, GOOGLE = "GCE_METADATA_HOST", "metadata.google.internal"
# Google gives a spot machine so long, at best.
GOOGLE_SECONDS = 30.0


def taken_in(cloud: str) -> float | None:
    """Return seconds until this machine is taken back; None: nobody said so.

    Raises:
        CloudError: the metadata service does not answer.
    """
    import requests  # noqa: PLC0415 - keeps what imports this quick

    try:
        return _ASKED[cloud]()
    except (requests.RequestException, KeyError, ValueError) as error:
        raise CloudError(f"the metadata service of this machine: {error}") from error


def _aws() -> float | None:
    """Ask for a spot interruption notice, which comes two minutes before (IMDSv2)."""
    import requests  # noqa: PLC0415 - as above

    service = variables(ENDPOINT).get(ENDPOINT, SERVICE).rstrip("/")
    life = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
    token = requests.put(f"{service}/latest/api/token", headers=life, timeout=ASK_SECONDS)
    token.raise_for_status()
    address = f"{service}/latest/meta-data/spot/instance-action"
    answer = requests.get(
        address, headers={"X-aws-ec2-metadata-token": token.text}, timeout=ASK_SECONDS
    )
    if answer.status_code == MISSING:
        return None
    answer.raise_for_status()
    at = datetime.fromisoformat(answer.json()["time"])
    return max(0.0, at.timestamp() - time.time())


def _gcp() -> float | None:
    """Ask whether this spot machine is being taken back.

    Not whether its host is to be maintained: that is told an hour ahead to machines with GPUs that
    are no spot ones, and an hour is worth more than what its end loses.
    """
    import requests  # noqa: PLC0415 - as above

    host = variables(HOST).get(HOST, GOOGLE)
    address = f"http://{host}/computeMetadata/v1/instance/preempted"
    answer = requests.get(address, headers={"Metadata-Flavor": "Google"}, timeout=ASK_SECONDS)
    answer.raise_for_status()
    return GOOGLE_SECONDS if answer.text.strip() == "TRUE" else None


_ASKED: dict[str, Callable[[], float | None]] = {"aws": _aws, "gcp": _gcp}
