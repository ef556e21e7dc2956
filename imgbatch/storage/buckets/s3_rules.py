"""Lifecycle rules and policy statements of S3 that are ours, and whether one is there already."""

from __future__ import annotations

from typing import Any

from imgbatch.storage.buckets import ABORT_DAYS, FORMER_DAYS, PROBE, PROBE_DAYS

OURS = "imgbatch-"
TLS_ONLY = "ImgbatchTlsOnly"


def denial(bucket: str) -> dict[str, Any]:
    """Return the statement that refuses what comes without TLS."""
    return {
        "Sid": TLS_ONLY,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def denies_plain(statement: dict[str, Any]) -> bool:
    """Return whether a statement is such a one."""
    condition = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    return statement.get("Effect") == "Deny" and str(condition).lower() == "false"


def rules(prefix: str) -> list[dict[str, Any]]:
    """Return our lifecycle rules for a prefix."""
    stem = OURS + (prefix.strip("/").replace("/", "-") + "-" if prefix else "")
    return [
        {
            "ID": f"{stem}leftovers",
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
            "NoncurrentVersionExpiration": {"NoncurrentDays": FORMER_DAYS},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
        {
            "ID": f"{stem}probes",
            "Status": "Enabled",
            "Filter": {"Prefix": prefix + PROBE},
            "Expiration": {"Days": PROBE_DAYS},
        },
    ]


def plain(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule without what a server adds of its own."""
    expires = {k: v for k, v in rule.get("Expiration", {}).items() if v}
    return {
        "id": rule.get("ID"),
        "status": rule.get("Status"),
        "prefix": rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")),
        "expires": expires,
        "former": rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        "abort": rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
    }


def says(rule: dict[str, Any]) -> str:
    """Return a rule of ours in words."""
    below = rule["Filter"]["Prefix"] or "the whole bucket"
    if "Days" in rule["Expiration"]:
        return f"{below}*: deleted after {PROBE_DAYS} day"
    return (
        f"{below}: unfinished uploads end after {ABORT_DAYS} days, former versions after "
        f"{FORMER_DAYS}"
    )
