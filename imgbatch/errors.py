"""Every error that imgbatch raises on purpose: one tree, with scope, exit code and remedy.

    ImgbatchError
    +-- RunError                  the run cannot go on; the terminal shows it, exits with its code
    |   +-- SettingsError         10  a recipe, flag or variable is wrong
    |   +-- InputError            11  INPUT cannot be listed
    |   +-- DatasetError          12  DATASET cannot be used (not one, another format, no tables)
    |   |   +-- FencedError       13  another run took this dataset over
    |   |   +-- DamageError       14  verify found something that is not as committed
    |   |   +-- BusyError         19  another run is at work on this dataset
    |   +-- MissingExtraError     15  an optional package is not installed
    |   +-- StorageError          16  a store refused or failed (permission, network, full disk)
    |   |   +-- DeniedError       16  it refuses this to whoever asks with these credentials
    |   |   +-- AccessError       16  the bucket or the credentials are wrong, whatever is asked
    |   |   +-- OutageError       16  nobody answers there, or it asks for patience
    |   +-- JobError              17  workers were lost and their shards stay undone
    |   |   +-- DeviceError       17  a GPU fails, and whatever is asked of it
    |   +-- TooManyFailedError    18  more sources failed than --max-failed allows
    |   +-- CancelledError        20  somebody asked for the run's end with `imgbatch cancel`
    |   +-- ClusterError          22  a Ray cluster is not reached, or does not let us in
    |   |   +-- VersionError      21  its machines have another imgbatch, Ray or Python
    |   +-- WeightsError          23  a model's weights cannot be had, or do not fit
    |   +-- GroupError            24  the tables do not hold what is to be grouped
    |   +-- SearchError           25  a search has nothing to compare, or nothing to look for
    |   +-- LabelsError           26  labels, or a model learned from them, cannot be used
    |   +-- CloudError            27  a cloud refuses, lacks or fails
    |   |   +-- CredentialsError  27  there are none, or they are not taken
    |   |   +-- PermissionsError  27  these credentials may not do it
    |   |   +-- QuotaError        27  the account may not have so many machines
    |   +-- DeploymentError       28  there is no deployment, or it is not what it should be
    |   +-- TerraformError        29  Terraform is missing, too old, locked, or fails
    |   +-- LeftoverError         30  something of a deployment is still there after `cloud down`
    |   +-- SpentError            31  a run's budget or deadline is reached
    |   +-- DumpError             32  INPUT is no dump of the format that is named, or of several
    |   +-- ScheduleError         33  a schedule is not there, or the machine does not keep it
    |   +-- OutputError           34  all is done, and what was to be printed could not be written
    +-- SourceError               one source failed; becomes its outcome row, never ends a run
        +-- FetchError                fetch.*    its bytes could not be had
        +-- LinkError                 link.*     a URL of a dump does not give its medium
        +-- ArchiveError              archive.*  its archive does not give it out
        +-- DecodeError               decode.*   its bytes are not a usable picture or video
        +-- AnalyzeError              analyze.*  an analyzer failed on its pixels
        +-- PreprocessError           preprocess.*  a step does not work on this picture
        +-- PoisonError               poison.*   it ends the process that works on it

Exit code 0: every source has an outcome (failures included). 1: a bug in imgbatch. 2: wrong
command line. 130: interrupted.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Scope = Literal["source", "run"]


class ImgbatchError(Exception):
    """Root of the tree.

    Attributes:
        scope: what stops: one source, or the run.
    """

    scope: ClassVar[Scope] = "run"

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without any change."""
        return False


class RunError(ImgbatchError):
    """The run cannot go on: what happened, and what to do about it."""

    exit_code: ClassVar[int] = 1
    remedy: str = "Report what it printed. Committed shards are safe."

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy


class SettingsError(RunError):
    """A recipe, a flag or an environment variable is wrong."""

    exit_code = 10
    remedy = (
        "For a recipe see `imgbatch recipe show quick` and `imgbatch analyzers`, for a flag the "
        "command's --help, for a variable imgbatch/REFERENCE.md."
    )


class InputError(RunError):
    """INPUT does not exist or cannot be listed."""

    exit_code = 11
    remedy = "Check the path or URL and that you may read it."


class DatasetError(RunError):
    """DATASET is not a dataset, is of another format version, or lacks a table."""

    exit_code = 12
    remedy = "Check the path or URL; `imgbatch run INPUT DATASET` makes a new dataset."


class FencedError(DatasetError):
    """Another run committed to this dataset after this one began."""

    exit_code = 13
    remedy = "Nothing is lost. Let the other run finish, then run again."


class DamageError(DatasetError):
    """Verify found a difference between what was committed and what is there."""

    exit_code = 14
    remedy = "`imgbatch run INPUT DATASET --repair` does again exactly what is damaged."


class BusyError(DatasetError):
    """Another run is at work on this dataset, or changed it while it was read.

    The message says which run, where and since when; or which tables it changed.
    """

    exit_code = 19
    remedy = "Wait until it ends, then run again."


class MissingExtraError(RunError):
    """An optional package is needed and not installed; the message names it."""

    exit_code = 15
    remedy = (
        "In the clone of imgbatch: `scripts/setup models` (5 GB, torch is among it). On a cluster "
        "every machine needs it."
    )


class StorageError(RunError):
    """A store refused or failed: permission, network, or no space left.

    Attributes:
        timed_out: it did not answer in time.
    """

    exit_code = 16
    remedy = "Check permissions, free space and the network, then run again: finished shards stay."
    timed_out: bool = False

    @property
    def retryable(self) -> bool:
        """A store that fails now may answer in a second."""
        return True


class DeniedError(StorageError, PermissionError):
    """A store does not allow this with these credentials, or the system does not."""

    remedy = (
        "Allow these credentials what is refused, or give others: `imgbatch doctor INPUT DATASET` "
        "shows which permission is missing. Then run again: finished shards stay."
    )

    @property
    def retryable(self) -> bool:
        """The same credentials are refused again."""
        return False


class AccessError(StorageError):
    """The bucket does not exist, or credentials, region or clock are wrong: every call fails.

    It ends a run and is no source's outcome: a thousand sources did not fail, one setting did.
    """

    remedy = "Check the bucket's name and its options in the URL, then run again."

    @property
    def retryable(self) -> bool:
        """What is set up wrong stays wrong."""
        return False


class OutageError(StorageError):
    """Nobody answers at the store's address, or it asks for fewer requests.

    Worth waiting for as long as patience lasts, however often it was asked. Then it ends the run
    and is no source's outcome either.
    """

    remedy = (
        "Check the endpoint and the network. When it answers, run the same command: finished "
        "shards stay."
    )


class JobError(RunError):
    """Workers were lost and some shards stay undone."""

    exit_code = 17
    remedy = "Run the same command again: only the undone shards are computed."


class DeviceError(JobError):
    """A GPU fails in a way that lasts: every later call of the same process would fail too."""

    remedy = (
        "Run the same command again: only the undone shards are computed. `nvidia-smi` shows how "
        "the GPU is; IMGBATCH_DEVICE=cpu goes without."
    )


class TooManyFailedError(RunError):
    """More sources failed than --max-failed allows; their outcomes are in the table `sources`."""

    exit_code = 18
    remedy = (
        "Look at the error classes in the report. What is finished stays: run again with a larger "
        "--max-failed to go on."
    )


class CancelledError(RunError):
    """Somebody asked for the run's end; what was finished is committed."""

    exit_code = 20
    remedy = "Run the same command again to go on: only the undone shards are computed."


class ClusterError(RunError):
    """A Ray cluster cannot be reached, does not let us in, or does not start what it is given."""

    exit_code = 22
    remedy = (
        "Check --address and that the cluster is up; where it asks for a token, set "
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."
    )


class VersionError(ClusterError):
    """Two machines of a run have different versions of imgbatch, Ray or Python."""

    exit_code = 21
    remedy = "Install the same version of imgbatch, Ray and Python on every machine."


class WeightsError(RunError):
    """A model's weights cannot be had, are not what they should be, or do not fit it."""

    exit_code = 23
    remedy = "`imgbatch models show NAME` says where it comes from and where it should lie."


class GroupError(RunError):
    """The tables do not hold what is to be grouped: none, mixed, or fewer rows than groups."""

    exit_code = 24
    remedy = "Nothing was written. Look at the tables with `imgbatch status DATASET`."


class SearchError(RunError):
    """A search has nothing to compare, or nothing to look for; nothing was written."""

    exit_code = 25
    remedy = (
        "`imgbatch status DATASET` names the tables that are there; see `imgbatch search --help`."
    )


class LabelsError(RunError):
    """Labels or a model learned from them cannot be used; nothing was written."""

    exit_code = 26
    remedy = "See `imgbatch fit --help`."


class CloudError(RunError):
    """A cloud refuses, lacks what is asked for, or does not answer."""

    exit_code = 27
    remedy = "`scripts/cloud doctor aws` (or gcp) shows what is wrong, line by line."


class CredentialsError(CloudError):
    """There are no credentials of a cloud, or it does not take them."""

    remedy = (
        "AWS: `aws configure sso` and AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
        "Google Cloud: `gcloud auth application-default login`."
    )


class PermissionsError(CloudError):
    """These credentials may not do what is asked."""

    remedy = "`scripts/cloud doctor aws` (or gcp) lists every permission that is missing."


class QuotaError(CloudError):
    """The account may not have so many machines of that kind in that region."""

    remedy = "Ask for a larger quota (`scripts/cloud doctor` prints how), or take another GPU."


class DeploymentError(RunError):
    """There is no deployment, several, or one that is not what it should be."""

    exit_code = 28
    remedy = "`scripts/cloud up aws` (or gcp) makes one, or brings it up to date."


class TerraformError(RunError):
    """Terraform is missing, too old, held by somebody else, or fails."""

    exit_code = 29
    remedy = "Read what Terraform printed above; `scripts/cloud up` may be run again at any time."


class LeftoverError(RunError):
    """Something of a deployment is still there after it was to be destroyed."""

    exit_code = 30
    remedy = (
        "Remove what is listed with the commands beside it, then run `scripts/cloud down` again."
    )


class SpentError(RunError):
    """A run's budget or deadline is reached; what was finished is committed."""

    exit_code = 31
    remedy = "Run the same command with a new --budget and --deadline to go on where it ended."


class DumpError(RunError):
    """INPUT is no dump of a known format, of one that was not named, or of several at once."""

    exit_code = 32
    remedy = (
        "`imgbatch dumps` lists the formats; `imgbatch dumps INPUT` shows what it is taken for."
    )


class ScheduleError(RunError):
    """A schedule is not there, or systemd or cron does not take it."""

    exit_code = 33
    remedy = "See `imgbatch schedule list`."


class OutputError(RunError):
    """A command did its work, and what it printed could not be written, as on a full disk."""

    exit_code = 34
    remedy = (
        "Make room where its output goes, or send it elsewhere, and run the same command again: "
        "what it did to a dataset stays."
    )


class SourceError(ImgbatchError):
    """One source failed. Becomes a row of the table `sources`; never ends a run.

    Args:
        code: the error class in full, such as `decode.truncated`; its first word is the stage.
        message: what was found in this file.
    """

    scope = "source"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def stage(self) -> str:
        """The stage that failed: the first word of the error class."""
        return self.code.partition(".")[0]

    def __reduce__(self) -> tuple[type[SourceError], tuple[str, str]]:
        # The default rebuilds from `args`, which holds the message alone.
        return type(self), (self.code, str(self))


class FetchError(SourceError):
    """The bytes could not be had.

    Final: fetch.missing, fetch.denied, fetch.changed, fetch.unreadable (it is no file). Worth
    another attempt: fetch.failed, fetch.timeout.
    """

    @property
    def retryable(self) -> bool:
        """Whether another attempt may find the bytes."""
        return self.code in ("fetch.failed", "fetch.timeout")


class LinkError(SourceError):
    """A URL of a dump does not give its medium (`imgbatch fetch`).

    Worth another attempt: link.timeout, link.connect, link.dns, link.broken (the connection broke,
    what came is no HTTP, or a part of the file: 206), link.server (5xx), link.limited (429),
    link.unasked (its host was left alone; the next fetch asks). Final: link.missing (404),
    link.gone (410), link.denied (401, 403), link.legal (451: withheld for legal
    reasons), link.status, link.tls, link.redirects, link.url,
    link.encoding, link.empty, link.type (neither image nor video), link.unexpected (a bug, ours or
    of the HTTP engine). Not asked for, or not taken, by rule: link.robots, link.noai, link.private,
    link.too-large, link.kind.

    Attributes:
        after: seconds that the server asks us to wait, None where it does not say.
    """

    after: float | None = None

    @property
    def retryable(self) -> bool:
        """Whether another attempt may find it."""
        return self.code.removeprefix("link.") in _PASSING_LINKS

    @property
    def by_rule(self) -> bool:
        """Whether it was a rule of ours or of the host that kept it away."""
        return self.code.removeprefix("link.") in _RULED_LINKS


_PASSING_LINKS = frozenset(["timeout", "connect", "dns", "broken", "server", "limited", "unasked"])
_RULED_LINKS = frozenset(["robots", "noai", "private", "too-large", "kind"])


class ArchiveError(SourceError):
    """The archive does not give the member out.

    archive.corrupt, archive.truncated, archive.bomb, archive.encrypted, archive.unsupported.
    """


class DecodeError(SourceError):
    """The bytes are not a usable picture or video.

    decode.empty, decode.truncated, decode.corrupt, decode.bomb, decode.unrecognised,
    decode.unsupported, decode.no-video, decode.no-frames; decode.unexpected (a bug, of a decoder's
    or of ours).
    """


class AnalyzeError(SourceError):
    """An analyzer failed on a picture: analyze.failed."""


class PreprocessError(SourceError):
    """A step of preprocessing does not work on a picture.

    preprocess.size, preprocess.failed, preprocess.mask (the face detector failed on it).
    """


class PoisonError(SourceError):
    """The source ended its worker's process twice while nothing else was at work there.

    poison.crash, poison.memory, poison.hang.
    """
