"""Secrets as SecureString parameters of Systems Manager: they cost nothing.

Terraform makes each one; here its value is set and read. Without a type, AWS keeps the parameter's
own and refuses a name that is not there, so that nothing is made that Terraform does not know.
Drawback: without a key either, AWS encrypts a new value with its own key for Systems Manager,
whichever Terraform gave the parameter; a token holds for one run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imgbatch.cloud.aws.errors import code_of, missing, said, told
from imgbatch.storage.secrets import cause, remember

if TYPE_CHECKING:
    from imgbatch.cloud.aws.clients import Clients


class AwsSecrets:
    """Implements `imgbatch.cloud.Secrets`.

    Both raise DeploymentError where there is no such parameter.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def put(self, name: str, value: str) -> None:
        """Set a secret."""
        remember(value)
        with told(f"setting the parameter {name}"):
            try:
                self._clients.of("ssm").put_parameter(Name=name, Value=value, Overwrite=True)
            except ClientError as error:
                if "parameter type is required" in said(error):
                    raise missing("parameter", name, self._clients.region) from cause(error)
                raise

    def get(self, name: str) -> str:
        """Return a secret."""
        with told(f"reading the parameter {name}"):
            try:
                found = self._clients.of("ssm").get_parameter(Name=name, WithDecryption=True)
            except ClientError as error:
                if code_of(error) == "ParameterNotFound":
                    raise missing("parameter", name, self._clients.region) from error
                raise
        value: str = found["Parameter"]["Value"]
        remember(value)
        return value
