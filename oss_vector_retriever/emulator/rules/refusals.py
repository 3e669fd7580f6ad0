"""`Refusal`: how the service says no, with the statuses, words and ECs of the table of codes."""

from dataclasses import dataclass, field

from ...codes import ERROR_CODES, SIGNATURE_FAULTS


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - an answer of the service, not an error of ours
    """A request refused with a code of the service.

    Attributes:
        code: the error code; its status, standing message and EC come from `ERROR_CODES`.
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
        known = ERROR_CODES[self.code]
        self.status = known.status
        self.message = f"{known.message} {self.detail}".rstrip()
        self.ec = self.ec or known.ec
        super().__init__(self.code, self.message)


def invalid(detail: str) -> Refusal:
    """Return the refusal of a parameter; reference section 4.1, error codes."""
    return Refusal("VectorIndexParameterInvalid", detail)


def too_long(limit: int) -> Refusal:
    """Return the refusal of a body of more than `limit` bytes."""
    return Refusal("EntityTooLarge", f"At most {limit} bytes are read.")


def not_signed() -> Refusal:
    """Return the refusal of an anonymous request that no policy admits."""
    return Refusal("AccessDenied", "The request is not signed.")


def signature_fault(ec: str) -> Refusal:
    """Return the refusal of a request that is not signed as it must be, by its EC."""
    return Refusal("InvalidArgument", SIGNATURE_FAULTS[ec].message, ec)
