"""The program `terraform`: found, of a version that will do, run; its errors with what to do.

Enters: a folder of `infra/` and the words of a command. Leaves: what it printed, or TerraformError.
Whatever it says while it works is handed on line by line, in its own words.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from imgbatch.errors import TerraformError
from imgbatch.settings import inherited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# The first whose S3 backend locks by an object (`use_lockfile`) as a matter of course.
LEAST = Version("1.11")
LINK = "https://developer.hashicorp.com/terraform/install"
GONE_ON = "Run the same command again: what was made is known and is not made twice."
# Of what -json tells, what somebody who waits wants to see.
FRAME = "\u2502\u2577\u251c\u2500 "
SHOWN = ("apply_complete", "apply_errored", "import_complete")


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error of Terraform's: what, at which resource, its words."""

    summary: str
    detail: str = ""
    address: str = ""

    @property
    def text(self) -> str:
        """All of it in one line."""
        where = f"{self.address}: " if self.address else ""
        detail = " ".join(self.detail.split())
        return where + self.summary + (f" ({detail})" if detail else "")


@dataclass(frozen=True, slots=True)
class Terraform:
    """The program in one folder, with data of one deployment.

    Attributes:
        program: path of the binary.
        folder: a root of `infra/`.
        data: where it keeps providers and its notes of the backend.
        say: is told each step.
    """

    program: str
    folder: Path
    data: Path
    say: Callable[[str], None] = field(default=lambda _: None)

    def run(self, *words: str) -> str:
        """Run a command that is soon done; return what it printed.

        Raises:
            TerraformError: it failed.
        """
        done = subprocess.run(  # noqa: S603 - a program that was looked up, words of ours
            [self.program, *words],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise error_of(words[0], _complaints(done.stderr + done.stdout))
        return done.stdout

    def stream(self, *words: str) -> None:
        """Run a command that takes its time and knows -json; tell its steps as they come.

        Whoever interrupts waits until Terraform has noted what it made: it hears the same key.

        Raises:
            TerraformError: it failed.
        """
        heard = _Heard(self.say)
        with (
            subprocess.Popen(  # noqa: S603 - as above
                [self.program, words[0], "-json", *words[1:]],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            ) as process
        ):
            assert process.stdout is not None, "it is a pipe"
            try:
                heard.follow(process.stdout)
            except KeyboardInterrupt:
                self.say("interrupted: Terraform notes what it has made; wait")
                heard.follow(process.stdout)
                process.wait()
                raise
            code = process.wait()
        if code != 0:
            ended = f"it was killed by signal {-code}" if code < 0 else f"it ended with {code}"
            complaints = heard.complaints or [Complaint(ended)]
            raise error_of(words[0], complaints)

    def _environment(self) -> dict[str, str]:
        return inherited({"TF_DATA_DIR": str(self.data), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"})


class _Heard:
    """What Terraform says with -json, line by line; and without, where it fails before it reads."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: list[Complaint] = []
        self._plain: list[str] = []

    def follow(self, lines: IO[str]) -> None:
        """Hear all that comes."""
        for line in lines:
            told = _json(line)
            if told is None:
                self._plain.append(line)
            elif told.get("type") == "diagnostic":
                said = told["diagnostic"]
                if said["severity"] == "error":
                    self._told.append(_complaint(said))
            elif told.get("type") in SHOWN and told["hook"].get("action") != "read":
                self._say(str(told["@message"]))

    @property
    def complaints(self) -> list[Complaint]:
        """What went wrong."""
        return [*self._told, *_complaints("".join(self._plain))]


def find() -> str:
    """Return the path of a Terraform that will do.

    Raises:
        TerraformError: there is none on PATH, or it is too old.
    """
    remedy = f"Install {LEAST} or newer: {LINK}"
    program = shutil.which("terraform")
    if program is None:
        raise TerraformError("Terraform is not installed (no `terraform` on PATH)", remedy)
    found = version(program)
    if found < LEAST:
        raise TerraformError(f"{program} is of version {found}, and {LEAST} is needed", remedy)
    return program


def version(program: str) -> Version:
    """Return the version of a Terraform.

    Raises:
        TerraformError: it does not tell.
    """
    words = [program, "version", "-json"]
    with contextlib.suppress(OSError, KeyError, ValueError, TypeError, InvalidVersion):
        done = subprocess.run(  # noqa: S603 - a program that was looked up
            words,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
        )
        # A configuration file that is missing is told first.
        return Version(json.loads(done.stdout[done.stdout.index("{") :])["terraform_version"])
    raise TerraformError(
        f"{program} does not tell its version", f"Install {LEAST} or newer: {LINK}"
    )


# --- What went wrong, and what to do --------------------------------------------------------------

_LOCK = re.compile(r"^\s*(ID|Operation|Who|Created):\s*(.+?)\s*$", re.MULTILINE)
_EXISTS = re.compile(
    r"already ?exists|AlreadyOwnedByYou|AlreadyAssociated|\.Conflict|\.Duplicate", re.IGNORECASE
)
_DENIED = re.compile(
    r"AccessDenied|UnauthorizedOperation|AuthorizationError|not authorized|Error 403|"
    r"PERMISSION_DENIED|does not have .* access"
)
_NETWORK = re.compile(r"registry|provider packages", re.IGNORECASE)


class LockedError(TerraformError):
    """Somebody else is at work on the state, or was killed at it.

    Attributes:
        lock: its id; "" where it is not told.
    """

    def __init__(self, message: str, remedy: str, lock: str) -> None:
        super().__init__(message, remedy)
        self.lock = lock


class ExistsError(TerraformError):
    """What was to be made is there, and the state does not know it.

    Attributes:
        addresses: Terraform's, of what is there.
    """

    def __init__(self, message: str, addresses: list[str]) -> None:
        super().__init__(
            f"{message}. The state does not know what is there: a Terraform was killed, the state "
            "was lost, or another deployment has the same name",
            "Another deployment: take another --name. A killed Terraform: run the same command "
            "with --adopt, which takes over what is there. A lost state: the same, or first bring "
            "its former version back, which its bucket keeps for 30 days (infra/README.md).",
        )
        self.addresses = addresses


def error_of(command: str, complaints: list[Complaint]) -> TerraformError:
    """Return what went wrong as an error that says what to do."""
    everything = "\n".join(f"{one.summary}\n{one.detail}" for one in complaints)
    message = f"terraform {command}: " + "; ".join(one.text for one in complaints)
    if "state lock" in everything:
        return _locked(everything)
    there = [one.address for one in complaints if _EXISTS.search(f"{one.summary} {one.detail}")]
    if any(there):
        return ExistsError(message, [address for address in there if address])
    if _DENIED.search(everything):
        return TerraformError(
            message,
            "Give these credentials what is refused (infra/README.md lists all); then run "
            "the same command again: what was made is not made twice.",
        )
    if command == "init" and _NETWORK.search(everything):
        return TerraformError(
            message,
            "The provider comes from registry.terraform.io: check the network and the proxy, or "
            "name a mirror in TF_CLI_CONFIG_FILE. Then run the same command again.",
        )
    return TerraformError(message, GONE_ON)


def _locked(everything: str) -> LockedError:
    told = dict(_LOCK.findall(everything))
    lock = told.get("ID", "")
    who = f"{told.get('Who', 'somebody')} since {told.get('Created', 'some time')}"
    doing = told.get("Operation", "").removeprefix("OperationType").lower()
    return LockedError(
        f"the state is held by {who}" + (f" ({doing})" if doing else ""),
        "If that Terraform is still at work, wait until it ends. If it was killed, run the same "
        f"command with --unlock {lock}",
        lock,
    )


def _complaint(said: Mapping[str, Any]) -> Complaint:
    return Complaint(said["summary"], said.get("detail", ""), said.get("address", ""))


def _complaints(text: str) -> list[Complaint]:
    """Return the errors in what Terraform prints for people: each in a box of its own."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    found = []
    for box in re.split(r"^\u2575", plain, flags=re.MULTILINE):
        lines = [line.lstrip(FRAME).rstrip() for line in box.splitlines()]
        starts = [n for n, line in enumerate(lines) if line.startswith("Error: ")]
        if starts:
            summary = lines[starts[0]].removeprefix("Error: ")
            found.append(Complaint(summary, "\n".join(filter(None, lines[starts[0] + 1 :]))))
    return found


def _json(line: str) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
