"""Google Cloud, as the protocols of `imgbatch.cloud` ask it.

- `rest`: requests to Google's APIs, with the user's own credentials; `errors`: what they refuse
- `groups`, `deadlines`, `events`: regional managed instance groups, the end that Cloud Scheduler
  keeps for each, what happened to one
- `secrets`: Secret Manager
- `market`, `asked`, `table`, `quotas`: machine types, prices, and how many a project may have
- `account`, `permissions`, `sweep`: checks of `cloud doctor`, and what of ours is left anywhere

Decision, 2026-11: plain REST with google-auth's own session, which Cloud Storage brings already.
Google's client for Compute Engine alone weighs 40 MB and hides the requests that a test checks.
Drawback: paths and bodies are ours to get right; tests check each against Google's own discovery
documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.cloud.gcp.account import GcpAccount
from imgbatch.cloud.gcp.groups import GcpGroups
from imgbatch.cloud.gcp.market import GcpMarket
from imgbatch.cloud.gcp.rest import Google
from imgbatch.cloud.gcp.secrets import GcpSecrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cloud import Account, Groups, Market, Secrets


@dataclass
class Gcp:
    """Google Cloud: one project, in one region."""

    groups: Groups
    secrets: Secrets
    market: Market
    account: Account


def connect(region: str, account: str = "", *, most: Mapping[str, int]) -> Gcp:
    """Return Google Cloud in a region, with application default credentials. Nothing is asked yet.

    `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_CLOUD_PROJECT` and the endpoints that `gcloud` knows
    as `CLOUDSDK_API_ENDPOINT_OVERRIDES_...` mean what they mean to Google's own programs.

    Args:
        region: such as us-central1; "": as the environment says.
        account: id of the project; "": that of the credentials or of the environment.
        most: machines that each group may have; a group that is not named has none.

    Raises:
        SettingsError: no region or no project is given, nor known.
        CredentialsError: there are none.
    """
    google = Google(region, account)
    return Gcp(
        groups=GcpGroups(google, most),
        secrets=GcpSecrets(google),
        market=GcpMarket(google),
        account=GcpAccount(google),
    )
