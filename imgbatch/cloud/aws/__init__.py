"""Amazon Web Services, as the protocols of `imgbatch.cloud` ask it.

- `clients`: one boto3 client per service and region, with the user's own credentials
- `errors`: what AWS refuses, as errors of ours with what to do
- `groups`, `activities`: auto scaling groups: members, size, removal by name, deadline, events
- `secrets`: parameters of Systems Manager
- `market`, `quotas`: machine types, prices, and how many an account may have
- `account`, `permissions`, `sweep`: checks of `cloud doctor`, and what of ours is left anywhere
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.cloud.aws.account import AwsAccount
from imgbatch.cloud.aws.clients import Clients
from imgbatch.cloud.aws.groups import AwsGroups
from imgbatch.cloud.aws.market import AwsMarket
from imgbatch.cloud.aws.secrets import AwsSecrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.cloud import Account, Groups, Market, Secrets


@dataclass
class Aws:
    """AWS in one region."""

    groups: Groups
    secrets: Secrets
    market: Market
    account: Account


def connect(
    region: str,
    _account: str = "",
    *,
    most: Mapping[str, int],  # noqa: ARG001 - other clouds'
) -> Aws:
    """Return AWS in a region, with boto3's own chain of credentials. Nothing is asked of it yet.

    `AWS_PROFILE`, `AWS_ENDPOINT_URL` and the rest mean what they mean to every program of AWS.
    Credentials of AWS are of one account, so none is chosen. A group there has its largest size
    itself, so none is told here.

    Raises:
        SettingsError: no region is given, nor known from the environment or the profile.
        CredentialsError: there are none.
    """
    clients = Clients(region)
    return Aws(
        groups=AwsGroups(clients),
        secrets=AwsSecrets(clients),
        market=AwsMarket(clients),
        account=AwsAccount(clients),
    )
