"""A server that answers like AWS: moto's, with what Terraform's provider 5.100 needs mended.

    python tests/cloud/moto_server.py PORT      listens on 127.0.0.1

    with moto_server() as aws:                  the same as a process of its own
        aws.environment()                       variables that point SDKs, CLI and Terraform to it
        aws.client("ec2")
        aws.reset()                             an empty account again

What it does not do (moto 5.2.5): hold a group's MaxSize, fire scheduled actions, schedules, budgets
or alarms, know conditions of policies. Never prove those with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REGION = "eu-central-1"
ACCOUNT = "123456789012"
# Public parameters that name Amazon's images, which moto has only for some families.
IMAGES = (
    "/aws/service/deeplearning/ami/",
    "/aws/service/ami-amazon-linux-latest/al2023",
    "/aws/service/canonical/ubuntu/",
    "/aws/service/ecs/optimized-ami/",
)


@dataclass(frozen=True)
class Moto:
    """A server that runs."""

    url: str

    def environment(self, region: str = REGION) -> dict[str, str]:
        """Return the variables that send every SDK, the CLI and Terraform to this server.

        By address: of `localhost`, `bucket.localhost` does not resolve.
        """
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Else each refusal of moto is asked for again, for minutes.
            "AWS_MAX_ATTEMPTS": "2",
        }

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a boto3 client of it."""
        import boto3

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def reset(self) -> None:
        """Forget everything."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()


@contextlib.contextmanager
def moto_server() -> Iterator[Moto]:
    """Run a server as a process of its own."""
    from tests.conftest import server

    with server(__file__) as port:
        yield Moto(f"http://127.0.0.1:{port}")


def push(aws: Moto, image: str) -> None:
    """Have an image of this name lie in the registry: a manifest of nothing."""
    repository, _, tag = image.partition("/")[2].rpartition(":")
    layer = {"mediaType": "layer", "size": 1, "digest": "sha256:" + "0" * 64}
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer]}
    aws.client("ecr").put_image(
        repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag
    )


# --- What moto lacks ------------------------------------------------------------------------------


def mend() -> None:
    """Mend moto in this process."""
    # Policies that are Amazon's own, such as AmazonSSMManagedInstanceCore.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    from tests.cloud.moto_groups import close_gaps

    close_gaps()
    _few_policies()
    _plain_http()
    _budgets()
    _templates()
    _addresses()
    _descriptions()
    _names()
    _images()
    _delete_markers()


def _few_policies() -> None:
    """Keep those of Amazon's 1,200 policies that we may name: all of them take a second to read."""
    from moto.iam import models

    known = json.loads(models.aws_managed_policies_data)
    few = {name: policy for name, policy in known.items() if name.startswith("AmazonSSM")}
    models.aws_managed_policies_data = json.dumps(few)


def _plain_http() -> None:
    """Pass over statements that refuse plain http: this server has nothing else.

    moto takes no notice of their condition, and would refuse everything.
    """
    from moto.iam.access_control import IAMPolicyStatement, PermissionResult

    permitted = IAMPolicyStatement.is_action_permitted
    plain = {"Bool": {"aws:SecureTransport": "false"}}

    def is_action_permitted(self: Any, *words: Any, **named: Any) -> Any:
        if self._statement.get("Condition") == plain:
            return PermissionResult.NEUTRAL
        return permitted(self, *words, **named)

    IAMPolicyStatement.is_action_permitted = is_action_permitted


def _delete_markers() -> None:
    """Delete what lies below a delete marker; moto ends with a 500, which Terraform asks again."""
    from moto.s3.models import FakeDeleteMarker

    FakeDeleteMarker.dispose = lambda _: None


def _budgets() -> None:
    """Answer what the provider asks of a budget after it made one; moto ends with a 500."""
    from moto.budgets.exceptions import NotFoundException
    from moto.budgets.responses import BudgetsResponse

    tags: dict[str, dict[str, str]] = {}
    create = BudgetsResponse.create_budget

    def budget(self: Any, name: str) -> Any:
        found = self.backend.budgets[self._get_param("AccountId")].get(name)
        if found is None:
            raise NotFoundException("no such budget")
        return found

    def create_budget(self: Any) -> str:
        answer = create(self)
        name = self._get_param("Budget")["BudgetName"]
        arn = f"arn:aws:budgets::{self._get_param('AccountId')}:budget/{name}"
        tags[arn] = _pairs(self._get_param("ResourceTags", []))
        return str(answer)

    def update_budget(self: Any) -> str:
        new = self._get_param("NewBudget")
        budget(self, new["BudgetName"]).budget.update(new)
        return "{}"

    def subscribers(self: Any) -> str:
        wanted = self._get_param("Notification")
        found = [
            subscriber
            for one in budget(self, self._get_param("BudgetName")).notifications
            if _same_notification(one.details, wanted)
            for subscriber in one.subscribers
        ]
        return json.dumps({"Subscribers": found})

    def list_tags(self: Any) -> str:
        held = tags.get(self._get_param("ResourceARN"), {})
        return json.dumps({"ResourceTags": [{"Key": k, "Value": v} for k, v in held.items()]})

    def tag(self: Any) -> str:
        held = tags.setdefault(self._get_param("ResourceARN"), {})
        held.update(_pairs(self._get_param("ResourceTags")))
        return "{}"

    def untag(self: Any) -> str:
        for key in self._get_param("ResourceTagKeys"):
            tags.get(self._get_param("ResourceARN"), {}).pop(key, None)
        return "{}"

    BudgetsResponse.create_budget = create_budget
    BudgetsResponse.update_budget = update_budget
    BudgetsResponse.describe_subscribers_for_notification = subscribers
    BudgetsResponse.list_tags_for_resource = list_tags
    BudgetsResponse.tag_resource = tag
    BudgetsResponse.untag_resource = untag


def _pairs(tags: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def _same_notification(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("NotificationType", "ComparisonOperator", "Threshold")
    kinds = [each.get("ThresholdType", "PERCENTAGE") for each in (one, other)]
    return kinds[0] == kinds[1] and all(one.get(key) == other.get(key) for key in keys)


def _templates() -> None:
    """Keep a launch template's own tags out of its data: else every plan would change them."""
    from moto.ec2.models.launch_templates import LaunchTemplateBackend

    create = LaunchTemplateBackend.create_launch_template

    def create_launch_template(
        self: Any, name: str, description: str, template_data: dict[str, Any], tag_spec: Any
    ) -> Any:
        given = template_data.pop("TagSpecifications", [])
        kept = [one for one in given if one.get("ResourceType") != "launch-template"]
        if kept:
            template_data["TagSpecifications"] = kept
        return create(self, name, description, template_data, tag_spec)

    LaunchTemplateBackend.create_launch_template = create_launch_template


def _addresses() -> None:
    """Count the security groups of an instance's first interface as the instance's own."""
    from moto.ec2.models.instances import Instance

    prepare = Instance.prep_nics

    def prep_nics(self: Any, *words: Any, **named: Any) -> None:
        prepare(self, *words, **named)
        if not self.security_groups and 0 in self.nics:
            self.security_groups = list(self.nics[0].group_set)

    Instance.prep_nics = prep_nics


def _descriptions() -> None:
    """Keep the description of a rule for a security group too: else every plan would set it.

    And set that of one without ports.
    """
    from moto.ec2.models.security_groups import SecurityGroupRule

    def description(self: Any) -> str | None:
        held = {**self.source_group, **self.ip_range}
        return held.get("Description")

    SecurityGroupRule.description = property(description)

    from moto.ec2.models.security_groups import SecurityGroupBackend

    modify = SecurityGroupBackend.modify_security_group_rules

    def modify_security_group_rules(self: Any, group_id: str, rules: dict[str, Any]) -> None:
        """Take a rule of all protocols, which has no ports."""
        for rule in rules.values():
            if rule.get("IpProtocol") == "-1":
                rule.update(FromPort=-1, ToPort=-1)
        modify(self, group_id, rules)

    SecurityGroupBackend.modify_security_group_rules = modify_security_group_rules


def _names() -> None:
    """Refuse a group whose name is taken; moto would put it in the other's place."""
    from moto.autoscaling.exceptions import AutoscalingClientError
    from moto.autoscaling.models import AutoScalingBackend

    create = AutoScalingBackend.create_auto_scaling_group

    class TakenError(AutoscalingClientError):
        code = "AlreadyExists"
        message = "AutoScalingGroup by this name already exists"

    def create_auto_scaling_group(self: Any, name: str, *words: Any, **named: Any) -> Any:
        if name in self.autoscaling_groups:
            raise TakenError
        return create(self, name, *words, **named)

    AutoScalingBackend.create_auto_scaling_group = create_auto_scaling_group


def _images() -> None:
    """Answer for the public parameters that name Amazon's images with one that moto has."""
    from moto.ssm.models import Parameter, SimpleSystemManagerBackend

    known = SimpleSystemManagerBackend.get_parameter

    def get_parameter(self: Any, name: str) -> Any:
        found = known(self, name)
        if found is not None or not name.startswith(IMAGES):
            return found
        return Parameter(
            account_id=self.account_id,
            name=name,
            value="ami-03cf127a",
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=0,
            version=1,
            data_type="aws:ec2:image",
        )

    SimpleSystemManagerBackend.get_parameter = get_parameter


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    mend()
    from moto.server import main

    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
