"""Fetch vectors by key from Alibaba Cloud OSS Vectors.

The names below are loaded when first used: importing this package imports no framework, no numpy
and no server. Adapters: `oss_vector_retriever.langchain`, `oss_vector_retriever.llama_index`.
"""

from typing import TYPE_CHECKING

from .lazy import make_lazy
from .version import __version__

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
if TYPE_CHECKING:
    from .client.clients import AsyncOSSVectorClient, OSSVectorClient
    from .client.config import ClientConfig, CredentialsClient
    from .client.credentials import Credentials, CredentialsSource
    from .client.endpoint import Endpoint
    from .client.errors import (
        AccessDeniedError, BatchReport, BucketAlreadyExistsError, BucketNameNotAvailableError,
        BucketNotEmptyError, ConfigurationError, ConflictError, DeadlineExceededError,
        IncompleteSearchWarning, InternalServiceError, InvalidAccessKeyIdError,
        InvalidBucketNameError, InvalidRequestError, MalformedJsonError, Message, MissingKeysError,
        NoSuchBucketError, NoSuchVectorIndexError, OSSVectorError, PartialWriteError,
        QpsLimitExceededError, Reference, RequestTimeTooSkewedError, ResponseError,
        SecurityTokenError, ServiceError, SignatureDoesNotMatchError, TooManyBucketsError,
        TransportError, VectorIndexAlreadyExistsError, VectorIndexLimitExceededError,
        VectorIndexParameterInvalidError, WriteReport,
    )
    from .client.models import (
        AccountRecord, Acknowledgement, BucketLogging, ClientStats, FetchResult, FinishedCall,
        Float32Array, FusedVector, GetVectorsResult, Limits, ListVectorBucketsResult,
        ListVectorIndexesResult, ListVectorsResult, OperationStats, Page, QueryVectorsFusionResult,
        QueryVectorsResult, ScoredVector, Vector, VectorBucket, VectorIndex,
    )
    from .client.rate_limiter import RateLimit, RequestPacer
    from .client.retry import RetryDecision, RetryPolicy
    from .client.settings import ClientSettings
    from .client.streams import AsyncVectorStream, VectorStream
    from .records.decode import DecodeError

_WHERE = {
    "client.clients": "AsyncOSSVectorClient OSSVectorClient",
    "client.config": "ClientConfig CredentialsClient",
    "client.credentials": "Credentials CredentialsSource",
    "client.endpoint": "Endpoint",
    "client.errors": "BatchReport IncompleteSearchWarning Message Reference WriteReport",
    "client.models": (
        "AccountRecord Acknowledgement BucketLogging ClientStats FetchResult FinishedCall "
        "Float32Array FusedVector GetVectorsResult Limits ListVectorBucketsResult "
        "ListVectorIndexesResult ListVectorsResult OperationStats Page QueryVectorsFusionResult "
        "QueryVectorsResult ScoredVector Vector VectorBucket VectorIndex"
    ),
    "client.rate_limiter": "RateLimit RequestPacer",
    "client.retry": "RetryDecision RetryPolicy",
    "client.settings": "ClientSettings",
    "client.streams": "AsyncVectorStream VectorStream",
    "records.decode": "DecodeError",
}

__all__ = [
    "AccessDeniedError", "AccountRecord", "Acknowledgement", "AsyncOSSVectorClient",
    "AsyncVectorStream", "BatchReport", "BucketAlreadyExistsError", "BucketLogging",
    "BucketNameNotAvailableError", "BucketNotEmptyError", "ClientConfig", "ClientSettings",
    "ClientStats", "ConfigurationError",
    "ConflictError", "Credentials", "CredentialsClient", "CredentialsSource",
    "DeadlineExceededError", "DecodeError", "Endpoint", "FetchResult", "FinishedCall",
    "Float32Array", "FusedVector", "GetVectorsResult", "IncompleteSearchWarning",
    "InternalServiceError", "InvalidAccessKeyIdError", "InvalidBucketNameError",
    "InvalidRequestError", "Limits", "ListVectorBucketsResult", "ListVectorIndexesResult",
    "ListVectorsResult", "MalformedJsonError", "Message", "MissingKeysError", "NoSuchBucketError",
    "NoSuchVectorIndexError", "OSSVectorClient", "OSSVectorError", "OperationStats", "Page",
    "PartialWriteError", "QpsLimitExceededError", "QueryVectorsFusionResult", "QueryVectorsResult",
    "RateLimit", "Reference", "RequestPacer", "RequestTimeTooSkewedError", "ResponseError",
    "RetryDecision", "RetryPolicy",
    "ScoredVector", "SecurityTokenError", "ServiceError", "SignatureDoesNotMatchError",
    "TooManyBucketsError", "TransportError", "Vector", "VectorBucket", "VectorIndex",
    "VectorIndexAlreadyExistsError", "VectorIndexLimitExceededError",
    "VectorIndexParameterInvalidError", "VectorStream", "WriteReport", "__version__",
]
# fmt: on

__getattr__, __dir__ = make_lazy(
    __name__,
    # The errors, nearly half of all names, stand in one module.
    {name: f"{__name__}.client.errors" for name in __all__ if name.endswith("Error")}
    | {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names.split()},
)
