"""From the values of flags to the arguments of the client's methods."""

from __future__ import annotations

from typing import Any

import click

Values = dict[str, Any]


def keys(values: Values) -> Values:
    """Join `--keys` and `--key`."""
    rest = dict(values)
    asked = [*rest.pop("keys", ()), *rest.pop("single_keys", ())]
    if not asked:
        raise click.UsageError("name the keys: --keys doc-001,doc-002, or --key 'one, with comma'.")
    return {**rest, "keys": asked}


def deleting(values: Values) -> Values:
    """Join the keys, and have all batches tried."""
    return writing(keys(values))


def writing(values: Values) -> Values:
    """Have all batches tried, and a report of those that failed."""
    return {**values, "on_error": "report"}


def query_vector(values: Values) -> Values:
    """Take the numbers out of `{"float32": numbers}`."""
    given = values["query_vector"]
    if isinstance(given, dict):
        if not isinstance(given.get("float32"), list):
            raise click.BadParameter('it has no array "float32".', param_hint="--query-vector")
        given = given["float32"]
    return {**values, "query_vector": given}


def new_index(values: Values) -> Values:
    """Join `--metadata` and `--non-filterable-key`; `--data-type` has one value."""
    rest = {name: value for name, value in values.items() if name != "data_type"}
    settings = rest.pop("metadata", {})
    unknown = settings.keys() - {"nonFilterableMetadataKeys"}
    listed = settings.get("nonFilterableMetadataKeys", [])
    if unknown or not isinstance(listed, list):
        raise click.BadParameter(
            'it must be {"nonFilterableMetadataKeys": [names]}.', param_hint="--metadata"
        )
    names = [*listed, *rest.pop("non_filterable_keys", ())]
    return {**rest, "non_filterable_metadata_keys": names}


def new_fusion_index(values: Values) -> Values:
    """Leave out `--mode`, which has one value."""
    return {name: value for name, value in values.items() if name != "mode"}


def logging(values: Values) -> Values:
    """Take the settings out of `{"LoggingEnabled": {...}}`, with or without BucketLoggingStatus."""
    rest = dict(values)
    status = rest.pop("bucket_logging_status")
    enabled = status.get("BucketLoggingStatus", status).get("LoggingEnabled")
    if not isinstance(enabled, dict) or not isinstance(enabled.get("TargetBucket"), str):
        raise click.BadParameter(
            'it must be {"LoggingEnabled": {"TargetBucket": "...", ...}}.',
            param_hint="--bucket-logging-status",
        )
    named = {
        "target_bucket": "TargetBucket",
        "target_prefix": "TargetPrefix",
        "logging_role": "LoggingRole",
    }
    return {
        **rest,
        **{name: enabled[member] for name, member in named.items() if member in enabled},
    }
