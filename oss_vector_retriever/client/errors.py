"""Every error this package raises.

    OSSVectorError
    ├── ConfigurationError (ValueError)      a setting is missing or impossible
    ├── InvalidRequestError (ValueError)     refused before any call
    ├── MissingKeysError (LookupError)       fetch(on_missing="raise") met keys that do not exist
    ├── PartialWriteError                    upsert or delete: some of the calls failed
    ├── ConflictError                        records were changed from elsewhere during an update
    ├── IncompleteSearchWarning (UserWarning)  a search may lack records that match
    ├── ServiceError                         the service answered with an error
    │   ├── AccessDeniedError
    │   │   ├── InvalidAccessKeyIdError
    │   │   ├── SignatureDoesNotMatchError
    │   │   ├── SecurityTokenError
    │   │   └── RequestTimeTooSkewedError
    │   ├── NoSuchBucketError
    │   ├── NoSuchVectorIndexError
    │   ├── BucketAlreadyExistsError
    │   ├── BucketNameNotAvailableError
    │   ├── BucketNotEmptyError
    │   ├── InvalidBucketNameError
    │   ├── TooManyBucketsError
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

`str(error)` words an error for a Python program. Whoever shows it to another reader, as the command
line does, calls `error.render(word)`: a message names arguments, methods, types and values by a
`Reference`, and `word` returns what that reader calls each of them.
"""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from string import Formatter
from traceback import format_exception_only
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

from ..codes import ERROR_CODES

Raised = TypeVar("Raised", bound=BaseException)
# Words for a Python program for which other readers need others, by their name in a template.
_PHRASES = {
    "credential_chain": "alibabacloud_credentials.client.Client().get_credential()",
    "fewer_requests": "rate_limit= and max_concurrency= of the client",
    "higher_top_k": "a client with limits=Limits(top_k=...)",
    "index_name": "the index name",
    "mapping": "a dict",
    "no_proxy": "NO_PROXY, or proxy= with another one,",
    "proxy_sources": "proxy=, or HTTPS_PROXY and the like",
    "renewing_credentials": "a callable or the credential chain",
    "some_credentials": (
        'credentials= (Credentials(...), a callable, or "chain" for profiles, RAM roles and OIDC)'
    ),
    "text": "str(key)",
    "vector_or_mapping": "a Vector or a dict",
}


def quote(value: object, limit: int = 80) -> str:
    """Return what a message shows of a value: its repr, cut where it is long."""
    return _cut(repr(value), limit)


# C0 but for tab and line break, DEL, C1, lone surrogates, and what ends a line or turns the
# direction of writing without being seen. Joiners stay: scripts and emoji need them.
CONTROLS: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff]"
)


def escape_controls(text: str) -> str:
    r"""Return a text with each of `CONTROLS` as `\uXXXX`; JSON stays JSON of the same value."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def with_article(noun: str) -> str:
    """Return a noun after "a" or "an"."""
    return f"{'an' if noun[:1] in 'aeiouAEIO' else 'a'} {noun}"


def _cut(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


@dataclass(frozen=True, slots=True)
class Reference:
    """A word of an error that readers of other kinds have other words for.

    Attributes:
        kind: what is named: an argument, a method of the client, a Python type, a value, or a
            phrase that differs from reader to reader.
        name: the argument's, method's or type's name, a name for the phrase; of a value, its JSON.
        python: the word for a Python program, which `str` returns.
        setting: what an argument is set to, or the argument that a method is called with.
    """

    kind: Literal["argument", "method", "type", "value", "phrase"]
    name: str
    python: str
    setting: str = ""

    def __str__(self) -> str:
        return self.python


def refer(text: str) -> Reference:
    """Return the reference that stands in a template as `{text}` (see `Message`)."""
    if text in _PHRASES:
        return Reference("phrase", text, _PHRASES[text])
    if text.endswith(")"):
        name, _, option = text[:-1].partition("(")
        return Reference("method", name, f"client.{name}({option and option + '=...'})", option)
    name, _, setting = text.partition("=")
    return Reference("argument", name, text, setting)


def _refer_value(value: object) -> Reference:
    python = quote(value)
    try:
        # escaped, or half of a surrogate pair could not be printed
        text = python if isinstance(value, str) else json.dumps(value, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = python
    return Reference("value", _cut(text), python)


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence that is worded when it is shown.

    With fields, if only an empty dict, it is a template as for `str.format`. Braces without a field
    hold an argument (`{index}`, `{index=}`, `{internal=True}`), a method of the client
    (`{put_vector_index(dimension)}`) or a phrase that other readers have other words for. Fields
    are never parsed, so that braces in a user's value are only braces.

    Attributes:
        template: the template; without fields the text, braces and all.
        fields: references, other errors, words and numbers.
    """

    template: str
    fields: Mapping[str, object] | None = None

    def render(self, word: Callable[[Reference], str] = str) -> str:
        """Return the sentence, each reference in the words of its reader."""
        if self.fields is None:
            return self.template
        # To `str.format` a key is all up to a colon, a dot or a bracket: `internal=True` is one.
        worded: dict[str, object] = {}
        for _, name, _, _ in Formatter().parse(self.template):
            if name is not None:
                value = self.fields[name] if name in self.fields else refer(name)
                value = value.render(word) if isinstance(value, OSSVectorError) else value
                worded[name] = word(value) if isinstance(value, Reference) else value
                if name == "a_kind":
                    worded[name] = with_article(str(worded[name]))
        return self.template.format_map(worded)

    def __str__(self) -> str:
        return self.render()


class OSSVectorError(Exception):
    """Root of all errors of this package.

    Attributes:
        attempts: HTTP attempts made for the call that failed; 0 when none was made.
        elapsed: seconds from the start of the call.
        errors: what the earlier attempts of the same call failed with, oldest first.
    """

    def __init__(self, message: str | Message = "") -> None:
        super().__init__(str(message))
        self._message = message if isinstance(message, Message) else Message(message)
        self.attempts = 0
        self.elapsed = 0.0
        self.errors: tuple[OSSVectorError, ...] = ()

    def render(self, word: Callable[[Reference], str] = str) -> str:
        """Return the error's text for a reader: `word` returns its word for a reference."""
        return f"{self._message.render(word)}{self._effort}"

    @property
    def _effort(self) -> str:
        # of a call that was tried once its error says enough
        if self.attempts <= 1:
            return ""
        return f" ({self.attempts} attempts in {self.elapsed:.{1 if self.elapsed >= 1 else 2}f} s)"

    def __str__(self) -> str:
        return self.render()

    def reword(self, change: Callable[[str], str]) -> None:
        """Change the words of the message."""
        self._message = Message(change(str(self._message)))
        self.args = (str(self._message),)

    def replace_errors(self, change: Callable[["OSSVectorError"], "OSSVectorError"]) -> None:
        """Replace the errors that this one carries, and those that its message quotes."""
        self.errors = tuple(change(error) for error in self.errors)
        if self._message.fields:
            fields = {
                name: change(value) if isinstance(value, OSSVectorError) else value
                for name, value in self._message.fields.items()
            }
            self._message = Message(self._message.template, fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[OSSVectorError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    # not by the constructor: subclasses take other arguments than the ones that Exception keeps
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


_ABSENT: Any = object()
# what they hold can be a secret, or a password in an address
_NEVER_SHOWN = frozenset({"credentials", "endpoint", "proxy"})


class _ArgumentError(Exception):
    """An error that is about one argument or setting.

    Attributes:
        argument: its name; None where the error is about no single one.
        value: what was given, shortened; None where nothing was, or where it might be a secret.
        limit: the most or the least that is possible, where that is what was broken.
        remedy: what to do, in words for a Python program; "" where the message says it all.

    Args:
        message: the text, without the remedy. With any of the arguments it is the template of a
            `Message`; `{kind}` in it is the type of the value, `{a_kind}` that with its article.
        fields: what else the template names.
    """

    _message: Message

    def __init__(
        self,
        message: str = "",
        *,
        argument: str | None = None,
        value: object = _ABSENT,
        limit: int | None = None,
        remedy: str = "",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        known: dict[str, object] = {}
        if argument is not None:
            known["argument"] = Reference("argument", argument, argument)
        if value is not _ABSENT:
            kind = Reference("type", type(value).__name__, type(value).__name__)
            known["kind"] = known["a_kind"] = kind
            if argument not in _NEVER_SHOWN:
                known["value"] = _refer_value(value)
        if limit is not None:
            known["limit"] = limit
        known.update(fields or {})
        # a remedy after a colon or a full stop needs no further sign
        link = " " if message[-1:] in {":", "."} else "; "
        text = f"{message}{link}{remedy}." if remedy else message
        super().__init__(Message(text, known if known or remedy else None))
        self.argument = argument
        self.value = str(known["value"]) if "value" in known else None
        self.limit = limit
        self.remedy = str(Message(remedy, known))


class ConfigurationError(_ArgumentError, OSSVectorError, ValueError):
    """A setting is missing, malformed or impossible; no call was made."""


class InvalidRequestError(_ArgumentError, OSSVectorError, ValueError):
    """The arguments break a rule of the service; no call was made."""


class MissingKeysError(OSSVectorError, LookupError):
    """Keys that were asked for do not exist.

    Attributes:
        missing: the keys, in the order asked.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        names = _list_keys(self.missing)
        super().__init__(f"{len(self.missing)} of the keys do not exist: {names}")


def _list_keys(keys: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(quote(key) for key in keys[:limit]) + more


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The outcome of one call of a write.

    Attributes:
        keys: what it was to write or delete.
        request_id: the service's id of the call that succeeded.
        error: what it failed with, or None. After a `TransportError` the service may have acted on
            it all the same; both writes may be repeated.
    """

    keys: tuple[str, ...]
    request_id: str | None = None
    error: OSSVectorError | None = None


@dataclass(frozen=True, slots=True)
class WriteReport:
    """The outcome of a write, call by call."""

    batches: tuple[BatchReport, ...]

    @property
    def ok(self) -> bool:
        """Tell whether every call succeeded."""
        return not self.failed

    @property
    def written(self) -> tuple[str, ...]:
        """Return the keys that the service has acknowledged, in the order given."""
        return tuple(key for batch in self.batches if batch.error is None for key in batch.keys)

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the keys of the calls that failed, in the order given."""
        return tuple(key for batch in self.batches if batch.error is not None for key in batch.keys)

    def __repr__(self) -> str:
        return (
            f"WriteReport({len(self.written)} acknowledged, {len(self.failed)} failed, "
            f"calls={len(self.batches)})"
        )


class PartialWriteError(OSSVectorError):
    """Some of the calls of a write failed; what the others wrote stays written.

    Attributes:
        report: which keys were written, which not, and why.
    """

    def __init__(self, report: WriteReport) -> None:
        self.report = report
        failed = [batch.error for batch in report.batches if batch.error is not None]
        text = (
            f"{len(failed)} of {len(report.batches)} calls failed, with {len(report.failed)} keys "
            f"(report.failed); {len(report.written)} keys are written."
        )
        first = " The first failed with: {first}" if failed else ""
        super().__init__(Message(text + first, {"first": failed[0]} if failed else {}))


class ConflictError(OSSVectorError):
    """Records were changed by another process, or another client, while they were updated.

    Attributes:
        keys: theirs, in the order given.
        written: whether that was seen after the update was written, which is lost then in these
            records; False where it was seen before, and nothing was written.
    """

    def __init__(self, keys: Sequence[str], *, written: bool = False) -> None:
        self.keys = tuple(keys)
        self.written = written
        done = "the update was written, and is lost there" if written else "nothing was written"
        super().__init__(
            f"{len(self.keys)} of the records were changed from elsewhere during the update: "
            f"{_list_keys(self.keys)}; {done}. Update them again: that begins with what they hold "
            "now."
        )


class IncompleteSearchWarning(OSSVectorError, UserWarning):  # noqa: N818 - a warning by default
    """A search may lack records that match, since not all could be looked through.

    A warning, unless `on_incomplete="raise"` makes an error of it, or "ignore" leaves it unsaid.

    Attributes:
        index: the index searched.
        wanted: how many records were asked for.
        found: how many are in the answer.
        nearest: how many of the nearest records were looked through, whatever their distance.
        listed: how many more were listed and ranked.
        reason: why the others were not looked through.
    """

    def __init__(  # noqa: PLR0917 - the attributes, in their order
        self,
        index: str | None,
        wanted: int,
        found: int,
        nearest: int,
        listed: int,
        reason: str,
        remedy: str,
    ) -> None:
        self.index, self.wanted, self.found = index, wanted, found
        self.nearest, self.listed, self.reason = nearest, listed, reason
        seen = f"the {nearest:,} nearest" + (f" and {listed:,} listed" if listed else "")
        super().__init__(
            f"{found} of {wanted} records were found in index {quote(index)}, and more may match: "
            f"of its records {seen} were looked through; {reason}. {remedy}"
        )


class TransportError(OSSVectorError):
    """No whole reply arrived: the connection could not be made, or broke.

    Attributes:
        kind: what happened, one of the values of `FaultKind`.
    """

    def __init__(self, message: str | Message = "", kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class DeadlineExceededError(TransportError, TimeoutError):
    """The call's total time ran out, retries and reading included."""

    @property
    def _effort(self) -> str:
        return ""  # its text tells of attempts and time by itself


class ResponseError(OSSVectorError):
    """A reply is not what the service promises, so nothing of it is used.

    Attributes:
        status: the HTTP status.
        request_id: the service's id of the request, if there was one.
        unreadable: the body was cut short or is no JSON, so that trying again may help.
    """

    def __init__(
        self, message: str | Message, status: int = 0, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.unreadable = False
        self.status = status
        self.request_id = request_id

    def render(self, word: Callable[[Reference], str] = str) -> str:
        """Return the error's text for a reader, with what identifies the reply."""
        words = self._message.render(word)
        return f"{words}{_trail(self.status, self.request_id, None)}{self._effort}"


class ServiceError(OSSVectorError):
    """The service answered with an error.

    Attributes:
        code: the service's error code, such as `NoSuchVectorIndex`.
        status: the HTTP status.
        message: the service's own words.
        request_id: the service's id of the request, to quote to support.
        ec: the service's fine-grained code (`x-oss-ec`), if it sent one.
        where: the operation, with the index and bucket it was for.
        remark: what else there is to know of it, such as that the call itself may have been its
            cause; mostly "".
    """

    _advice = ""

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
        self.remark = ""

    @property
    def advice(self) -> str:
        """Return what to do about it, in words for a Python program; "" where nobody can say."""
        return self.render_advice()

    def render_advice(self, word: Callable[[Reference], str] = str) -> str:
        """Return what to do about it, for another reader."""
        return Message(self._advice, {}).render(word)

    def render(self, word: Callable[[Reference], str] = str) -> str:
        """Return the error's text for a reader, with advice and what identifies the reply."""
        where = f"{self.where}: " if self.where else ""
        advice = f" {self.render_advice(word)}" if self._advice else ""
        said = f": {self.message}" if self.message else "."
        remark = f" {self.remark}" if self.remark else ""
        trail = _trail(self.status, self.request_id, self.ec)
        return f"{where}{self.code}{said}{advice}{remark}{trail}{self._effort}"


def _trail(status: int, request_id: str | None, ec: str | None) -> str:
    known = (("HTTP", status), ("request id", request_id), ("EC", ec))
    named = ", ".join(f"{name} {value}" for name, value in known if value)
    return f" [{named}]" if named else ""


class AccessDeniedError(ServiceError):
    """The caller is not known, or not allowed to do this (403)."""

    _advice = "Check the RAM or bucket policy of this identity for the action and the index."

    def render_advice(self, word: Callable[[Reference], str] = str) -> str:
        """Return what to do, in the words of a reader."""
        if self.code == "UserDisable":  # no policy is asked about whoever is switched off
            return "Enable this RAM user and its access key, or use others."
        advice = super().render_advice(word)
        operation = self.where.partition(" ")[0]
        if self.code != "AccessDenied" or not operation[:1].isupper():
            return advice
        command = re.sub(r"(?<=.)(?=[A-Z])", "-", operation).lower()
        return f"{advice} `oss-vectors policy --for {command}` prints what to grant."


class InvalidAccessKeyIdError(AccessDeniedError):
    """The access key id does not exist or is disabled."""

    _advice = "Check OSS_ACCESS_KEY_ID, and that the key belongs to this account."


class SignatureDoesNotMatchError(AccessDeniedError):
    """The secret, the account id or the region does not belong to the request."""

    _advice = "Check OSS_ACCESS_KEY_SECRET, OSS_ACCOUNT_ID and OSS_REGION."


class SecurityTokenError(AccessDeniedError):
    """The security token is expired or not valid."""

    _advice = "Get new temporary credentials; {renewing_credentials} renews them."


class RequestTimeTooSkewedError(AccessDeniedError):
    """The request was dated more than 15 minutes from the service's clock."""

    _advice = "Correct this machine's clock."


class NoSuchBucketError(ServiceError):
    """The vector bucket does not exist in this account and region."""

    _advice = "Check {bucket}, {account_id} and {region}, or make it: {put_vector_bucket()}."


class NoSuchVectorIndexError(ServiceError):
    """The index does not exist in the bucket."""

    _advice = "Check {index_name}, or make it: {put_vector_index(dimension)}."


class BucketAlreadyExistsError(ServiceError):
    """A vector bucket of that name exists already."""


class BucketNameNotAvailableError(ServiceError):
    """The name is that of a vector bucket deleted some hours ago, and not free again yet (409)."""

    _advice = "Choose another name, or wait: a deleted bucket's name is free again after hours."


class InvalidBucketNameError(ServiceError):
    """The name breaks the rule for names of vector buckets (400)."""

    _advice = "A name is 3 to 32 of a-z, 0-9 and -, with no - at either end."


class TooManyBucketsError(ServiceError):
    """The account has as many vector buckets in the region as it may (400)."""

    _advice = "Delete one, or ask for a higher quota."


class BucketNotEmptyError(ServiceError):
    """The vector bucket still holds indexes."""

    _advice = "Delete its indexes first."


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

    _advice = "Send fewer requests at once: {fewer_requests}."


class InternalServiceError(ServiceError):
    """The service failed (5xx)."""


# A code of a class of its own; the others are told apart by their status.
_BY_CODE: dict[str, type[ServiceError]] = {
    row.code: globals()[row.error] for row in ERROR_CODES.values() if row.error != "ServiceError"
}
# a code or an id as the service makes them; anything else is a peer's text, which is not logged
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SERVER_FAILURE = 500


def service_error_class(code: str, status: int) -> type[ServiceError]:
    """Return the class for a service error code, or the best general one for the status."""
    fallback = InternalServiceError if status >= _SERVER_FAILURE else ServiceError
    return _BY_CODE.get(code, fallback)


def identify(error: object) -> str:
    """Return what identifies an error in one word: code, kind of fault, or class."""
    word = getattr(error, "code", None) or getattr(error, "kind", None)
    plain = isinstance(word, str) and PLAIN.fullmatch(word)
    return str(word) if plain else type(error).__name__


def drop_frames(error: BaseException | None, until: BaseException | None) -> None:
    """Take the frames from an error and from those behind it, up to one that is the caller's."""
    if error is None or error is until or error.__traceback__ is None:
        return
    error.__traceback__ = None
    for inner in (error.__cause__, error.__context__):
        drop_frames(inner, until)


def own_copy(error: Raised) -> Raised | OSSVectorError:
    """Return an error like another one, for one more of those whom it is told.

    What is raised in several places must be several objects, or each would show the tracebacks of
    all. The copy has no frames but those of a user's own credentials callable: the others are of
    the call that was made for all, and hold what was asked for each. What cannot be copied is named
    by an error of this package that has it as its cause.
    """
    copied: Raised | OSSVectorError = _copy_with_causes(error, {})
    return copied


def _copy_with_causes(error: Any, copies: dict[int, Any]) -> Any:
    if id(error) in copies:  # causes can run in a circle
        return copies[id(error)]
    copied: Any = _copy_one(error)
    copies[id(error)] = copied
    if copied.__cause__ is error:
        return copied
    copied.__traceback__ = _callable_frames(error.__traceback__)
    if error.__cause__ is not None:
        copied.__cause__ = _copy_with_causes(error.__cause__, copies)
    elif error.__context__ is not None and not error.__suppress_context__:
        copied.__context__ = _copy_with_causes(error.__context__, copies)
    copied.__suppress_context__ = error.__suppress_context__
    if hasattr(error, "__notes__"):
        copied.__notes__ = list(error.__notes__)
    if isinstance(error, OSSVectorError):
        copied.replace_errors(lambda other: _copy_with_causes(other, copies))
    return copied


def _copy_one(error: BaseException) -> BaseException:
    # a class may copy itself well, badly or not at all: most constructors were never meant to be
    # called with `args`, which is how exceptions are copied. Without it, some lack what C code
    # keeps of them. So the first copy that says the same is taken.
    for make in (copy, _copy_without_constructor):
        with contextlib.suppress(Exception):
            copied = make(error)
            if copied is not error and type(copied) is type(error) and str(copied) == str(error):
                return copied
    other = OSSVectorError("".join(format_exception_only(error)).strip())
    other.__cause__ = error.with_traceback(_callable_frames(error.__traceback__))
    return other


def _copy_without_constructor(error: BaseException) -> BaseException:
    copied = type(error).__new__(type(error), *error.args)
    copied.args = error.args
    vars(copied).update(vars(error))
    return copied


def _callable_frames(traceback: TracebackType | None) -> TracebackType | None:
    # what follows the last frame of this package, where that is of a module that calls the
    # callable: its failing line is what the user looks for, and it knows of no request
    package = __name__.partition(".")[0] + "."
    kept = None
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
        if module.startswith(package):
            asks = module in (f"{__package__}.credentials", f"{__package__}.inquiry")
            kept = traceback if asks else None
    return kept
