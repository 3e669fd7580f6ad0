"""Fetch vectors by key from Alibaba Cloud OSS Vectors.

The names below are loaded when first used: importing this package imports no framework, no numpy
and no server. Adapters: `oss_vector_retriever.langchain`, `oss_vector_retriever.llama_index`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oss_vector_retriever.lazy import lazily
from oss_vector_retriever.version import __version__

if TYPE_CHECKING:
    from oss_vector_retriever.client.clients import AsyncOSSVectorClient, OSSVectorClient
    from oss_vector_retriever.client.credentials import Credentials
    from oss_vector_retriever.client.errors import (
        AccessDeniedError,
        BucketAlreadyExistsError,
        BucketNotEmptyError,
        ConfigurationError,
        DeadlineExceededError,
        InternalServiceError,
        InvalidAccessKeyIdError,
        InvalidRequestError,
        MalformedJsonError,
        MissingKeysError,
        NoSuchBucketError,
        NoSuchVectorIndexError,
        OSSVectorError,
        PartialWriteError,
        QpsLimitExceededError,
        Reference,
        RequestTimeTooSkewedError,
        ResponseError,
        SecurityTokenError,
        ServiceError,
        SignatureDoesNotMatchError,
        TransportError,
        VectorIndexAlreadyExistsError,
        VectorIndexLimitExceededError,
        VectorIndexParameterInvalidError,
        WriteReport,
    )
    from oss_vector_retriever.client.models.limits import Limits
    from oss_vector_retriever.client.models.results import FetchResult
    from oss_vector_retriever.client.models.vector import Float32Array, Vector
    from oss_vector_retriever.client.retry import RetryPolicy
    from oss_vector_retriever.client.settings import ClientSettings
    from oss_vector_retriever.records.decode import DecodeError

_CLIENT = "oss_vector_retriever.client"
_WHERE = {
    f"{_CLIENT}.clients": ("AsyncOSSVectorClient", "OSSVectorClient"),
    f"{_CLIENT}.credentials": ("Credentials",),
    f"{_CLIENT}.models.limits": ("Limits",),
    f"{_CLIENT}.models.results": ("FetchResult",),
    f"{_CLIENT}.models.vector": ("Float32Array", "Vector"),
    f"{_CLIENT}.retry": ("RetryPolicy",),
    f"{_CLIENT}.settings": ("ClientSettings",),
    "oss_vector_retriever.records.decode": ("DecodeError",),
    f"{_CLIENT}.errors": (
        "AccessDeniedError",
        "BucketAlreadyExistsError",
        "BucketNotEmptyError",
        "ConfigurationError",
        "DeadlineExceededError",
        "InternalServiceError",
        "InvalidAccessKeyIdError",
        "InvalidRequestError",
        "MalformedJsonError",
        "MissingKeysError",
        "NoSuchBucketError",
        "NoSuchVectorIndexError",
        "OSSVectorError",
        "PartialWriteError",
        "QpsLimitExceededError",
        "Reference",
        "RequestTimeTooSkewedError",
        "ResponseError",
        "SecurityTokenError",
        "ServiceError",
        "SignatureDoesNotMatchError",
        "TransportError",
        "VectorIndexAlreadyExistsError",
        "VectorIndexLimitExceededError",
        "VectorIndexParameterInvalidError",
        "WriteReport",
    ),
}

__all__ = [
    "AccessDeniedError",
    "AsyncOSSVectorClient",
    "BucketAlreadyExistsError",
    "BucketNotEmptyError",
    "ClientSettings",
    "ConfigurationError",
    "Credentials",
    "DeadlineExceededError",
    "DecodeError",
    "FetchResult",
    "Float32Array",
    "InternalServiceError",
    "InvalidAccessKeyIdError",
    "InvalidRequestError",
    "Limits",
    "MalformedJsonError",
    "MissingKeysError",
    "NoSuchBucketError",
    "NoSuchVectorIndexError",
    "OSSVectorClient",
    "OSSVectorError",
    "PartialWriteError",
    "QpsLimitExceededError",
    "Reference",
    "RequestTimeTooSkewedError",
    "ResponseError",
    "RetryPolicy",
    "SecurityTokenError",
    "ServiceError",
    "SignatureDoesNotMatchError",
    "TransportError",
    "Vector",
    "VectorIndexAlreadyExistsError",
    "VectorIndexLimitExceededError",
    "VectorIndexParameterInvalidError",
    "WriteReport",
    "__version__",
]

__getattr__, __dir__ = lazily(
    __name__, {name: module for module, names in _WHERE.items() for name in names}
)
