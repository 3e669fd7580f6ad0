"""`Refusal`: how the service says no, with the codes, statuses and ECs that are on record.

Sources: reference section 6 (codes with evidence). Codes marked generic are those of OSS itself;
for vector buckets they are an assumption (table of known differences in `emulator`).
"""

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - an answer of the service, not an error of ours
    """A request refused with a code of the service.

    Attributes:
        code: the error code; its status, standing message and EC come from the table here.
        detail: what exactly was wrong; added to the standing message.
        ec: the fine-grained code, where it differs from the table's.
        members: further members of the error body, such as BucketName.
        status: the HTTP status of the code.
        message: the standing message, followed by the detail.
    """

    code: str
    detail: str = ""
    ec: str = ""
    members: dict[str, str] = field(default_factory=dict)
    status: int = field(init=False)
    message: str = field(init=False)

    def __post_init__(self) -> None:
        self.status, standing, ec = _KINDS[self.code]
        self.message = f"{standing} {self.detail}".rstrip()
        self.ec = self.ec or ec
        super().__init__(self.code, self.message)


def invalid(detail: str) -> Refusal:
    """Return the refusal of a parameter; reference section 4.1, error codes."""
    return Refusal("VectorIndexParameterInvalid", detail)


def too_long(limit: int) -> Refusal:
    """Return the refusal of a body of more than `limit` bytes."""
    return Refusal("EntityTooLarge", f"At most {limit} bytes are read.")


class _Kind(NamedTuple):
    status: int
    message: str
    ec: str = ""


_KINDS = {
    "AccessDenied": _Kind(403, "Access denied."),
    "BucketAlreadyExists": _Kind(409, "The requested bucket name exists.", "0015-00000104"),
    "BucketNotEmpty": _Kind(
        409, "The bucket has objects. Please delete them first.", "0015-00000301"
    ),
    "EntityTooLarge": _Kind(400, "The request body is too large."),  # generic
    "InternalError": _Kind(500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": _Kind(
        403, "The OSS Access Key Id you provided does not exist in our records."
    ),
    "InvalidArgument": _Kind(400, "An argument of the request is invalid."),  # generic
    "InvalidBucketName": _Kind(400, "The specified bucket is not valid."),  # generic
    "InvalidDigest": _Kind(400, "The Content-MD5 you specified was invalid."),  # generic
    "InvalidPolicyDocument": _Kind(400, "The bucket policy is invalid."),  # generic
    "InvalidSecurityToken": _Kind(403, "The security token you provided is invalid."),  # generic
    "MalformedJson": _Kind(400, "The JSON format in the request body is invalid."),
    "MethodNotAllowed": _Kind(
        405, "The specified method is not allowed against this resource."
    ),  # generic
    "NoSuchBucket": _Kind(404, "The specified bucket does not exist.", "0015-00000101"),
    "NoSuchBucketPolicy": _Kind(404, "The bucket policy does not exist."),  # generic
    "NoSuchVectorIndex": _Kind(404, "The specified vector index does not exist."),
    "NotImplemented": _Kind(501, "This service does not do that."),  # generic
    "QpsLimitExceeded": _Kind(503, "QPS limit exceeded."),
    "RequestTimeout": _Kind(
        400, "Your socket connection to the server was not read from within the timeout period."
    ),  # generic
    "RequestTimeTooSkewed": _Kind(
        403,
        "The difference between the request time and the current time is too large.",
        "0002-00000504",
    ),
    "SecurityTokenExpired": _Kind(403, "The security token you provided has expired."),  # generic
    "SignatureDoesNotMatch": _Kind(
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        "0002-00000040",
    ),
    "TooManyBuckets": _Kind(400, "You have attempted to create more buckets than allowed."),
    "UserDisable": _Kind(403, "The user is disabled.", "0003-00000801"),
    "VectorBucketIndexAlreadyExist": _Kind(409, "The vector index already exists."),
    "VectorBucketIndexExceedLimit": _Kind(400, "The bucket holds as many indexes as it may."),
    "VectorIndexParameterInvalid": _Kind(
        400, "The vector index parameter provided in the request is invalid."
    ),
}
