"""Every error this package raises.

    OSSVectorError
    ├── ConfigurationError (ValueError)      a setting is missing or impossible
    ├── InvalidRequestError (ValueError)     refused before any call
    ├── MissingKeysError (LookupError)       fetch(on_missing="raise") met keys that do not exist
    ├── PartialWriteError                    upsert or delete: some of the calls failed
    ├── ServiceError                         the service answered with an error
    │   ├── AccessDeniedError
    │   │   ├── InvalidAccessKeyIdError
    │   │   ├── SignatureDoesNotMatchError
    │   │   ├── SecurityTokenError
    │   │   └── RequestTimeTooSkewedError
    │   ├── NoSuchBucketError
    │   ├── NoSuchVectorIndexError
    │   ├── BucketAlreadyExistsError
    │   ├── BucketNotEmptyError
    │   ├── VectorIndexAlreadyExistsError
    │   ├── VectorIndexLimitExceededError
    │   ├── VectorIndexParameterInvalidError
    │   ├── MalformedJsonError
    │   ├── QpsLimitExceededError
    │   └── InternalServiceError             any 5xx without a better name
    ├── ResponseError                        a reply that is not what the service promises
    └── TransportError                       no whole reply arrived
        └── DeadlineExceededError (TimeoutError)

Each carries `attempts`, `elapsed` (seconds) and `errors`, the errors of the earlier attempts.
No text here holds a credential: messages are made of names, and a service's own message is
stripped of the credentials in use before it gets here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oss_vector_retriever.client.models.results import WriteReport


def shown(value: object, most: int = 80) -> str:
    """Return what a message shows of a value: its repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


class OSSVectorError(Exception):
    """Root of all errors of this package.

    Attributes:
        attempts: HTTP attempts made for the call that failed; 0 when none was made.
        elapsed: seconds from the start of the call.
        errors: what the earlier attempts of the same call failed with, oldest first.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.attempts = 0
        self.elapsed = 0.0
        self.errors: tuple[OSSVectorError, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[OSSVectorError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(OSSVectorError, ValueError):
    """A setting is missing, malformed or impossible; no call was made."""


class InvalidRequestError(OSSVectorError, ValueError):
    """The arguments break a rule of the service; no call was made."""


class MissingKeysError(OSSVectorError, LookupError):
    """Keys that were asked for do not exist.

    Attributes:
        missing: the keys, in the order asked.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        first = ", ".join(shown(key) for key in self.missing[:5])
        more = f" and {len(self.missing) - 5} more" if len(self.missing) > 5 else ""  # noqa: PLR2004
        super().__init__(f"{len(self.missing)} of the keys do not exist: {first}{more}")


class PartialWriteError(OSSVectorError):
    """Some of the calls of a write failed; what the others wrote stays written.

    Attributes:
        report: a `WriteReport`: which keys were written, which not, and why.
    """

    def __init__(self, report: WriteReport) -> None:
        self.report = report
        failed = [batch for batch in report.batches if batch.error is not None]
        first = f" The first failed with: {failed[0].error}" if failed else ""
        super().__init__(
            f"{len(failed)} of {len(report.batches)} calls failed, with {len(report.failed)} keys "
            f"(report.failed); {len(report.written)} keys are written.{first}"
        )


class TransportError(OSSVectorError):
    """No whole reply arrived: the connection could not be made, or broke.

    Attributes:
        kind: what happened, one of the values of `FaultKind`.
    """

    def __init__(self, message: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class DeadlineExceededError(TransportError, TimeoutError):
    """The call's total time ran out, retries and reading included."""


class ResponseError(OSSVectorError):
    """A reply is not what the service promises, so nothing of it is used.

    Attributes:
        status: the HTTP status.
        request_id: the service's id of the request, if there was one.
        unreadable: the body was cut short or is no JSON, so that trying again may help.
    """

    def __init__(self, message: str, status: int = 0, request_id: str | None = None) -> None:
        super().__init__(message)
        self.unreadable = False
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{super().__str__()}{_trail(self.status, self.request_id, None)}"


class ServiceError(OSSVectorError):
    """The service answered with an error.

    Attributes:
        code: the service's error code, such as `NoSuchVectorIndex`.
        status: the HTTP status.
        message: the service's own words.
        request_id: the service's id of the request, to quote to support.
        ec: the service's fine-grained code (`x-oss-ec`), if it sent one.
        where: the operation, with the index and bucket it was for.
    """

    advice = ""

    def __init__(
        self,
        code: str,
        status: int = 0,
        message: str = "",
        request_id: str | None = None,
        ec: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.request_id = request_id
        self.ec = ec
        self.where = ""

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        advice = f" {self.advice}" if self.advice else ""
        said = f": {self.message}" if self.message else "."
        trail = _trail(self.status, self.request_id, self.ec)
        return f"{where}{self.code}{said}{advice}{trail}"


def _trail(status: int, request_id: str | None, ec: str | None) -> str:
    known = (("HTTP", status), ("request id", request_id), ("EC", ec))
    told = ", ".join(f"{name} {value}" for name, value in known if value)
    return f" [{told}]" if told else ""


class AccessDeniedError(ServiceError):
    """The caller is not known, or not allowed to do this (403)."""

    advice = "Check the RAM or bucket policy of this identity for the action and the index."


class InvalidAccessKeyIdError(AccessDeniedError):
    """The access key id does not exist or is disabled."""

    advice = "Check OSS_ACCESS_KEY_ID, and that the key belongs to this account."


class SignatureDoesNotMatchError(AccessDeniedError):
    """The secret, the account id or the region does not belong to the request."""

    advice = "Check OSS_ACCESS_KEY_SECRET, OSS_ACCOUNT_ID and OSS_REGION."


class SecurityTokenError(AccessDeniedError):
    """The security token is expired or not valid."""

    advice = "Get new temporary credentials; a callable or the credential chain renews them."


class RequestTimeTooSkewedError(AccessDeniedError):
    """The request was dated more than 15 minutes from the service's clock."""

    advice = "Correct this machine's clock."


class NoSuchBucketError(ServiceError):
    """The vector bucket does not exist in this account and region."""

    advice = "Check bucket, account_id and region, or make it: client.put_vector_bucket()."


class NoSuchVectorIndexError(ServiceError):
    """The index does not exist in the bucket."""

    advice = "Check the index name, or make it: client.put_vector_index(dimension=...)."


class BucketAlreadyExistsError(ServiceError):
    """A vector bucket of that name exists already."""


class BucketNotEmptyError(ServiceError):
    """The vector bucket still holds indexes."""

    advice = "Delete its indexes first."


class VectorIndexAlreadyExistsError(ServiceError):
    """An index of that name exists already in the bucket."""


class VectorIndexLimitExceededError(ServiceError):
    """The bucket holds as many indexes as it may."""


class VectorIndexParameterInvalidError(ServiceError):
    """The service refused a parameter (400)."""


class MalformedJsonError(ServiceError):
    """The service could not read the request body as JSON (400)."""


class QpsLimitExceededError(ServiceError):
    """The service limits the rate of requests (503)."""

    advice = "Send fewer requests at once: rate_limit= and max_concurrency= of the client."


class InternalServiceError(ServiceError):
    """The service failed (5xx)."""


_BY_CODE: dict[str, type[ServiceError]] = {
    "AccessDenied": AccessDeniedError,
    "UserDisable": AccessDeniedError,
    "InvalidAccessKeyId": InvalidAccessKeyIdError,
    "SignatureDoesNotMatch": SignatureDoesNotMatchError,
    "SecurityTokenExpired": SecurityTokenError,
    "InvalidSecurityToken": SecurityTokenError,
    "RequestTimeTooSkewed": RequestTimeTooSkewedError,
    "NoSuchBucket": NoSuchBucketError,
    "NoSuchVectorIndex": NoSuchVectorIndexError,
    "BucketAlreadyExists": BucketAlreadyExistsError,
    "BucketNotEmpty": BucketNotEmptyError,
    "VectorBucketIndexAlreadyExist": VectorIndexAlreadyExistsError,
    "VectorBucketIndexExceedLimit": VectorIndexLimitExceededError,
    "VectorIndexParameterInvalid": VectorIndexParameterInvalidError,
    "MalformedJson": MalformedJsonError,
    "QpsLimitExceeded": QpsLimitExceededError,
}
_SERVER_FAILURE = 500


def service_error_class(code: str, status: int) -> type[ServiceError]:
    """Return the class for a service error code, or the best general one for the status."""
    fallback = InternalServiceError if status >= _SERVER_FAILURE else ServiceError
    return _BY_CODE.get(code, fallback)
