"""The error codes of the service, in one table.

From it come the emulator's refusals, the client's class for each code, and docs/error-codes.md. A
row says where the code is known from: a page of the documentation and when that was last changed,
or the code of an official SDK. What no page on vector buckets names, and plain OSS has, is marked
`ASSUMED`.
"""

from typing import Final, NamedTuple

ASSUMED: Final = "plain OSS; assumed"
_GO_MOCK = "Go SDK 1.5.1, mock test"
_GO_LIVE = "Go SDK 1.5.1, integration test"
_READ = "read Nov 2026"
_EVERY = "every operation"
_ON_BUCKET = "all on a bucket"
_ON_INDEX = "all on an index or its vectors"
_ON_JSON = "all with a JSON body"


class ErrorCode(NamedTuple):
    """One error code.

    Attributes:
        code: as the service writes it.
        status: the HTTP status that it comes with.
        error: the name of the client's class.
        message: the service's own words where they are on record, else ours.
        operations: which operations it is documented for, or assumed.
        source: where it is known from.
        date: of the source.
        ec: the fine-grained code, where one is on record.
    """

    code: str
    status: int
    error: str
    message: str
    operations: str = _EVERY
    source: str = ASSUMED
    date: str = "-"
    ec: str = ""


_ROWS = (
    ErrorCode("AccessDenied", 403, "AccessDeniedError", "Access denied.",
              _EVERY, "GetVectors", "Feb 2026"),
    ErrorCode("BucketAlreadyExists", 409, "BucketAlreadyExistsError",
              "The requested bucket name exists.",
              "PutVectorBucket", _GO_MOCK, _READ, "0015-00000104"),
    ErrorCode("BucketNameNotAvailable", 409, "BucketNameNotAvailableError",
              "The requested bucket name is not available.",
              "PutVectorBucket", "PutVectorBucket (zh)", "Sep 2025"),
    ErrorCode("BucketNotEmpty", 409, "BucketNotEmptyError",
              "The bucket has objects. Please delete them first.",
              "DeleteVectorBucket", _GO_MOCK, _READ, "0015-00000301"),
    ErrorCode("EntityTooLarge", 400, "ServiceError", "The request body is too large."),
    ErrorCode("InternalError", 500, "InternalServiceError",
              "We encountered an internal error. Please try again.",
              _EVERY, "a user's client (n8n node)", _READ),
    ErrorCode("InvalidAccessKeyId", 403, "InvalidAccessKeyIdError",
              "The OSS Access Key Id you provided does not exist in our records.",
              _EVERY, _GO_LIVE, _READ),
    ErrorCode("InvalidArgument", 400, "ServiceError", "An argument of the request is invalid."),
    ErrorCode("InvalidBucketName", 400, "InvalidBucketNameError",
              "The specified bucket is not valid.", "PutVectorBucket"),
    ErrorCode("InvalidDigest", 400, "ServiceError", "The Content-MD5 you specified was invalid."),
    ErrorCode("InvalidPolicyDocument", 400, "ServiceError", "The bucket policy is invalid.",
              "PutBucketPolicy"),
    ErrorCode("InvalidSecurityToken", 403, "SecurityTokenError",
              "The security token you provided is invalid."),
    ErrorCode("InvalidVectorBucketName", 400, "InvalidBucketNameError",
              "The specified vector bucket name is not valid.",
              "PutVectorBucket, DeleteVectorBucket", "DeleteVectorBucket (zh)", "Jan 2026"),
    ErrorCode("MalformedJson", 400, "MalformedJsonError",
              "The JSON format in the request body is invalid.",
              _ON_JSON, "GetVectors", "Feb 2026"),
    ErrorCode("MethodNotAllowed", 405, "ServiceError",
              "The specified method is not allowed against this resource."),
    ErrorCode("MissingArgument", 400, "ServiceError", "Missing Some Required Arguments.",
              _EVERY, _GO_MOCK, _READ, "0016-00000502"),
    ErrorCode("NoSuchBucket", 404, "NoSuchBucketError", "The specified bucket does not exist.",
              _ON_BUCKET, _GO_LIVE, _READ, "0015-00000101"),
    ErrorCode("NoSuchBucketPolicy", 404, "ServiceError", "The bucket policy does not exist.",
              "GetBucketPolicy"),
    ErrorCode("NoSuchVectorIndex", 404, "NoSuchVectorIndexError",
              "The specified vector index does not exist.",
              _ON_INDEX, "GetVectors", "Feb 2026"),
    ErrorCode("NotImplemented", 501, "InternalServiceError", "This service does not do that."),
    ErrorCode("QpsLimitExceeded", 503, "QpsLimitExceededError", "QPS limit exceeded.",
              _EVERY, "GetVectors", "Feb 2026"),
    ErrorCode("RequestTimeTooSkewed", 403, "RequestTimeTooSkewedError",
              "The difference between the request time and the current time is too large.",
              _EVERY, "support page 0002-00000504", _READ, "0002-00000504"),
    ErrorCode("RequestTimeout", 400, "ServiceError",
              "Your socket connection to the server was not read from within the timeout period."),
    ErrorCode("SecurityTokenExpired", 403, "SecurityTokenError",
              "The security token you provided has expired."),
    # an SDK's mock test has the EC of signatures of version 1, 0002-00000040
    ErrorCode("SignatureDoesNotMatch", 403, "SignatureDoesNotMatchError",
              "The request signature we calculated does not match the signature you provided. "
              "Check your key and signing method.",
              _EVERY, "support page 0002-00000201", _READ, "0002-00000201"),
    ErrorCode("TooManyBuckets", 400, "TooManyBucketsError",
              "You have attempted to create more buckets than allowed.",
              "PutVectorBucket", "PutVectorBucket (zh)", "Jan 2026"),
    ErrorCode("UserDisable", 403, "AccessDeniedError", "The user is disabled.",
              _EVERY, _GO_MOCK, _READ, "0003-00000801"),
    ErrorCode("VectorBucketIndexAlreadyExist", 409, "VectorIndexAlreadyExistsError",
              "The vector index already exists.",
              "PutVectorIndex", "PutVectorIndex", "Feb 2026"),
    ErrorCode("VectorBucketIndexExceedLimit", 400, "VectorIndexLimitExceededError",
              "The bucket holds as many indexes as it may.",
              "PutVectorIndex", "PutVectorIndex", "Feb 2026"),
    ErrorCode("VectorBucketNotEmpty", 409, "BucketNotEmptyError",
              "The vector bucket still holds indexes.",
              "DeleteVectorBucket", "DeleteVectorBucket (zh)", "Jan 2026"),
    ErrorCode("VectorIndexParameterInvalid", 400, "VectorIndexParameterInvalidError",
              "The vector index parameter provided in the request is invalid.",
              _ON_JSON, "GetVectors", "Feb 2026"),
)  # fmt: skip
ERROR_CODES: Final = {row.code: row for row in _ROWS}


class SignatureFault(NamedTuple):
    """One fault in how a request is signed, which the service names by its EC.

    Each has a support page of that name, which has no error code: `InvalidArgument` is assumed.
    """

    ec: str
    message: str
    date: str = _READ


_FAULTS = (
    SignatureFault("0002-00000202", "The Authorization lacks Signature."),
    SignatureFault("0002-00000205", "The Authorization lacks Credential."),
    SignatureFault("0002-00000208", "Signature is empty."),
    SignatureFault("0002-00000209", "AdditionalHeaders is empty."),
    SignatureFault("0002-00000213", "The Credential is malformed.", "Mar 2026"),
    SignatureFault("0002-00000214", "x-oss-content-sha256 must be UNSIGNED-PAYLOAD."),
    SignatureFault("0002-00000215", "The query lacks x-oss-expires."),
    SignatureFault("0002-00000217", "The query lacks x-oss-credential."),
    SignatureFault("0002-00000219", "The query lacks x-oss-signature."),
    SignatureFault("0002-00000220", "x-oss-signature is empty."),
    SignatureFault("0002-00000224", "x-oss-credential is malformed."),
)
SIGNATURE_FAULTS: Final = {fault.ec: fault for fault in _FAULTS}
