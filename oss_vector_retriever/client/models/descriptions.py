"""What the service says of indexes and buckets, as checked values."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel, to_pascal

from oss_vector_retriever.client.models.results import Items

_FRACTION = re.compile(r"(\.\d{6})\d+")


def _microseconds(value: Any) -> Any:
    """Cut a fraction to six digits: the service writes up to nine (reference 7.2)."""
    return _FRACTION.sub(r"\1", value) if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_microseconds)]


class VectorIndex(BaseModel):
    """Describe one index. `status` is `creating`, `enable` or `deleting`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    index_name: str = ""
    dimension: int = 0
    distance_metric: str = ""
    data_type: str = "float32"
    status: str = ""
    create_time: Moment | None = None
    bucket_arn: str | None = None
    non_filterable_metadata_keys: tuple[str, ...] = Field(
        default=(),
        validation_alias=AliasChoices(
            AliasPath("metadata", "nonFilterableMetadataKeys"), "non_filterable_metadata_keys"
        ),
    )


class VectorBucket(BaseModel):
    """Describe one vector bucket. `name` is the plain name; the service's own is `arn`."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True)

    arn: str = Field(default="", validation_alias=AliasChoices("Name", "arn"))
    region: str = ""
    location: str = ""
    creation_date: Moment | None = None
    extranet_endpoint: str | None = None
    intranet_endpoint: str | None = None
    resource_group_id: str | None = None

    @property
    def name(self) -> str:
        """Return the plain name, the last part of the ARN."""
        return self.arn.rsplit(":", 1)[-1]


class BucketLogging(BaseModel):
    """Say where the accesses to a bucket are logged."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True)

    target_bucket: str = ""
    target_prefix: str = ""
    logging_role: str | None = None


class ListVectorIndexesResult(Items[VectorIndex]):
    """Hold one page of a bucket's indexes; `next_token` is None on the last page."""

    __slots__ = ("indexes", "next_token", "request_id")

    def __init__(
        self,
        indexes: tuple[VectorIndex, ...],
        next_token: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.indexes = indexes
        self.next_token = next_token
        self.request_id = request_id

    @property
    def _items(self) -> tuple[VectorIndex, ...]:
        return self.indexes


class ListVectorBucketsResult(Items[VectorBucket]):
    """Hold one page of an account's buckets; `next_marker` is None on the last page."""

    __slots__ = ("buckets", "next_marker", "request_id")

    def __init__(
        self,
        buckets: tuple[VectorBucket, ...],
        next_marker: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.buckets = buckets
        self.next_marker = next_marker
        self.request_id = request_id

    @property
    def _items(self) -> tuple[VectorBucket, ...]:
        return self.buckets
