"""A dashboard's address enters; jobs go to its cluster, their output and exit codes come back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ray.dashboard.modules.job import sdk
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from imgbatch.errors import CancelledError, ClusterError, JobError, SettingsError, VersionError
from imgbatch.release import release
from jobs.connect import refused
from jobs.submitted import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.dashboard.modules.job.pydantic_models import JobDetails

# A cluster that is at rest starts a job within 5 s.
ACCEPT_SECONDS = 30.0
LOOK_SECONDS = 0.5
# A dashboard that does not answer for so long is no longer waited for.
LOST_SECONDS = 60.0
# All before this line is Ray's own; the line itself repeats the order.
BEGIN = re.compile(r"^Running entrypoint for job .*\n", re.MULTILINE)
FIRST_WORD = re.compile(rf'^({ACCEPTED}: |\{{"event": "{ACCEPTED}")', re.MULTILINE)
# What a shell and Python exit with where there is no such program or module.
NOT_STARTED = (1, 126, 127)
ABSENT = re.compile(r"No module named .?(jobs|imgbatch)|python: (command )?not found")
# Ray's variables for an address win over the address that its client is given.
OVERRIDING = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
# What Ray's client raises when its connection breaks off: of its own HTTP library, or none.
BROKEN = (sdk.aiohttp.ClientError, OSError, RuntimeError)  # type: ignore[attr-defined] # that library's own
CHATTY = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")


class Out(Protocol):
    """Where a job's output is shown."""

    def write(self, text: str, /) -> object:
        """Take some of it, cut anywhere."""

    def flush(self) -> object:
        """Show what was taken."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, through the Job Submission API of its dashboard."""

    address: str
    client: JobSubmissionClient

    @classmethod
    def at(cls, address: str) -> Cluster:
        """Connect to a dashboard.

        Raises:
            SettingsError: the address is not one of a dashboard.
            ClusterError: it cannot be reached, or asks for another token.
            VersionError: it runs another version of Ray.
        """
        if not address.startswith(("http://", "https://")):
            raise SettingsError(
                f"--address {address!r} is not the address of a Ray dashboard",
                "Give http://HOST:8265 of the head node; on 127.0.0.1 through a tunnel: "
                "ssh -L 8265:127.0.0.1:8265 HOST.",
            )
        for name in OVERRIDING:
            os.environ.pop(name, None)  # noqa: TID251 - it was read as our own flag's default
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        with _explained(address):
            try:
                client = JobSubmissionClient(address)
                # Ray's own check lets every version from 2.0 on pass.
                theirs = client._do_request("GET", "/api/version").json()["ray_version"]  # noqa: SLF001 - no public call tells it
            except (KeyError, TypeError) as error:
                raise ClusterError(f"what answers at {address} is no Ray dashboard") from error
        if theirs != (ours := release().ray):
            raise VersionError(
                f"this machine has Ray {ours}; the cluster at {address} has Ray {theirs}",
                f"Install Ray {theirs} here, or start the cluster from an image with Ray {ours}.",
            )
        return cls(address, client)

    def running(self, key: str, value: str) -> list[str]:
        """Return the names of jobs that have this metadata and have not ended."""
        with _explained(self.address):
            jobs = self.client.list_jobs()
        return [
            str(job.submission_id)
            for job in jobs
            if (job.metadata or {}).get(key) == value and not job.status.is_terminal()
        ]

    def submit(
        self, entrypoint: str, *, name: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> Submission:
        """Start a shell line on the cluster's head.

        Raises:
            ClusterError: it was not taken.
        """
        with _explained(self.address):
            self.client.submit_job(
                entrypoint=entrypoint,
                submission_id=name,
                runtime_env=runtime_env,
                metadata=metadata,
            )
        return Submission(self, name)


class Submission:
    """A job on a cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self.name = name
        self._read = 0
        self._head: str | None = ""

    def accepted(self) -> bool:
        """Wait for its first word, or its end; False: neither came in time."""
        client, end = self._cluster.client, time.monotonic() + ACCEPT_SECONDS
        while time.monotonic() < end:
            with _explained(self._cluster.address):
                ended = client.get_job_status(self.name).is_terminal()
                if ended or FIRST_WORD.search(client.get_job_logs(self.name)):
                    return True
            time.sleep(LOOK_SECONDS)
        return False

    def refusal(self, out: Out) -> int:
        """Return its exit code if it ended without its first word, and show why; else 0.

        Raises:
            CancelledError, ClusterError, JobError, VersionError: as `follow`.
        """
        with _explained(self._cluster.address):
            said = self._cluster.client.get_job_logs(self.name)
        if FIRST_WORD.search(said):
            return 0
        self._show(said, out)
        return self._code(self._details())

    def follow(self, out: Out) -> int:
        """Show its output until its end; return its own exit code.

        Raises:
            ClusterError: the cluster did not start it, or is not reached any more.
            VersionError: the cluster has no imgbatch.
            CancelledError: it was stopped.
            JobError: it was killed.
        """
        reached = time.monotonic()
        while True:
            try:
                asyncio.run(self._tail(out))
                details = self._details()
                reached = time.monotonic()
                if details.status.is_terminal():
                    return self._code(details)
            except (ClusterError, *BROKEN) as error:
                # A tunnel or a dashboard that fails for a moment ends no run, and no watching.
                if time.monotonic() - reached > LOST_SECONDS:
                    said = f"{self.name} is out of sight; it may well go on: {error}"
                    raise ClusterError(said) from error
            time.sleep(LOOK_SECONDS)

    async def _tail(self, out: Out) -> None:
        """Show what is new; Ray tells a job's output from its beginning each time."""
        passed = 0
        async for text in self._cluster.client.tail_job_logs(self.name):
            fresh = text[max(0, self._read - passed) :]
            passed += len(text)
            self._read += len(fresh)
            self._show(fresh, out)

    def _show(self, text: str, out: Out) -> None:
        if self._head is not None:
            self._head += text
            if not (begin := BEGIN.search(self._head)):
                return
            text, self._head = self._head[begin.end() :], None
        out.write(text)
        out.flush()

    def _details(self) -> JobDetails:
        with _explained(self._cluster.address):
            return self._cluster.client.get_job_info(self.name)

    def _code(self, details: JobDetails) -> int:
        code, said = details.driver_exit_code, (details.message or "")
        if details.status == JobStatus.STOPPED:
            raise CancelledError(f"{self.name} was stopped")
        if code is None:
            raise ClusterError(f"{self.name} ended without its driver: {said.strip()}")
        if code < 0:
            raise JobError(f"{self.name} was killed by signal {-code}")
        if code in NOT_STARTED and ABSENT.search(said):
            raise VersionError(
                f"the cluster at {self._cluster.address} has no imgbatch where its `python` is; "
                f"this machine has {release()}",
                "Start the cluster from an image that has it, or send it with --ship.",
            )
        return code


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what Ray's client raises into what it means.

    Raises:
        ClusterError: the cluster is not reached, asks for another token, or refuses a request.
    """
    try:
        yield
    except AuthenticationError as error:
        raise refused(address) from error
    except (OSError, RuntimeError) as error:
        raise ClusterError(f"the Ray cluster at {address}: {error}") from error
