"""The settings of a client: from arguments, else from the environment, checked once."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, cast

from .credentials import Credentials, CredentialsSource, hide_credentials, source_of
from .endpoint import (
    Endpoint,
    check_account_id,
    check_index,
    check_region,
    public_endpoint,
    read_bucket,
    read_endpoint,
    remove_bucket,
)
from .errors import ConfigurationError, InvalidRequestError, Reference, quote, refer
from .hidden import hide_address
from .models.account_record import AccountRecord, read_record
from .models.limits import DEFAULT_LIMITS, Limits
from .models.results import FinishedCall
from .rate_limiter import RateLimit, RequestPacer
from .retry import RetryPolicy, is_finite_number

VARIABLES = {
    "bucket": "OSS_VECTORS_BUCKET",
    "account_id": "OSS_ACCOUNT_ID",
    "region": "OSS_REGION",
    "endpoint": "OSS_ENDPOINT",
    "index": "OSS_VECTORS_INDEX",
}


class CredentialsClient(Protocol):
    """A client of `alibabacloud-credentials`, or what gives credentials as it does."""

    def get_credential(self) -> Any:
        """Return an object with `access_key_id`, `access_key_secret` and `security_token`."""


_MEBIBYTE = 1024 * 1024
# Locks refuse a wait that overflows their clock (`threading.TIMEOUT_MAX`).
_A_YEAR = 365 * 24 * 3600
# What `credentials=` takes; a callable returns one of the first three, or an awaitable of one.
CredentialsLike = (
    Credentials
    | tuple[str, str]
    | tuple[str, str, str]
    | Callable[[], object]
    | CredentialsClient
    | Literal["chain"]
)
CredentialsKind = Literal["environment", "chain", "given", "local"]


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The settings of one client, all checked, with the source of its credentials."""

    bucket: str | None
    account_id: str
    region: str
    index: str | None
    endpoint: Endpoint
    credentials: CredentialsSource = field(repr=False)
    max_concurrency: int = 8
    timeout: float = 30.0
    connect_timeout: float = 5.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    rate_limit: float | RateLimit | RequestPacer | None = None
    coalesce: bool | float = True
    limits: Limits = DEFAULT_LIMITS
    max_reply_bytes: int = 64 * _MEBIBYTE
    additional_headers: tuple[str, ...] = ()
    proxy: Any = field(default=None, repr=False)  # a URL, hidden where it holds a password
    ca_file: str | None = None
    internal: bool = False
    allow_http: bool = False
    on_call: Callable[[FinishedCall], object] | None = field(default=None, repr=False)
    credentials_kind: CredentialsKind = "given"
    omitted: tuple[str, ...] = ()
    record: AccountRecord | None = None

    def __post_init__(self) -> None:
        # Each of them is a connection, and in the blocking client a thread.
        _check_whole("max_concurrency", self.max_concurrency, 1, 256)
        _check_whole("max_reply_bytes", self.max_reply_bytes, 1024, 1 << 40)
        check_seconds("timeout", self.timeout)
        check_seconds("connect_timeout", self.connect_timeout)
        rate, window = self.rate_limit, self.coalesce
        good = rate is None or (is_finite_number(rate) and rate > 0)  # type: ignore[operator]
        good = good or isinstance(rate, RateLimit) or _is_pacer(rate)
        what = "requests a second, above 0, a RateLimit, or an object with acquire and aacquire"
        _require(good, "rate_limit", rate, what)
        good = isinstance(window, bool) or (is_finite_number(window) and 0 <= window <= 1)
        what = "True, False, or the seconds to wait for others, at most {limit}"
        _require(good, "coalesce", window, what, 1)
        _require(isinstance(self.limits, Limits), "limits", self.limits, "a Limits")
        if self.record is not None:
            self._heed(self.record)

    def _heed(self, record: AccountRecord) -> None:
        # An address of another kind leads to an emulator, whose region is nobody's.
        own = self.endpoint == public_endpoint(self.region, internal=self.internal)
        if own and record.region != self.region:
            raise ConfigurationError(
                "{argument}= was made in region {recorded}, and this client's is {region}",
                argument="record",
                remedy="make one there by `oss-vectors doctor --record`",
                fields={"recorded": quote(record.region), "region": quote(self.region)},
            )
        object.__setattr__(self, "limits", record.narrow(self.limits))

    def index_or(self, index: str | None) -> str:
        """Return the index to use: the one given, else the client's own."""
        if index is not None:
            return check_index(index)
        if self.index is None:
            raise _missing_error("index")
        return self.index

    def bucket_or_raise(self) -> str:
        """Return the bucket, for what is asked of a bucket."""
        if self.bucket is None:
            raise _missing_error("bucket")
        return self.bucket


def replace_options(config: ClientConfig, **options: Any) -> ClientConfig:
    """Return a copy with options replaced; the same checks apply.

    Raises:
        ConfigurationError: an option has an impossible value, or the bucket's ARN is one of another
            account or region.
    """
    found = {name: Setting(getattr(config, name), _CLIENT) for name in ("account_id", "region")}
    for name in sorted({"bucket", "index"} & options.keys()):
        _add(found, _read_setting(name, options[name]), refer(f"{name}="))
    checked = _check_options({n: v for n, v in options.items() if n not in found})
    checked |= {name: found[name].value for name in ("bucket", "index") if name in found}
    if "credentials" in options:
        checked["credentials_kind"] = _kind_of(options["credentials"])
    return replace(config, **checked)


def resolve_config(
    *,
    bucket: str | None = None,
    account_id: str | None = None,
    region: str | None = None,
    index: str | None = None,
    endpoint: str | None = None,
    internal: bool = False,
    allow_http: bool = False,
    credentials: object = None,
    credentials_kind: CredentialsKind | None = None,
    environment: Mapping[str, str] | None = None,
    bucket_required: bool = True,
    **options: Any,
) -> ClientConfig:
    """Return the settings that arguments and environment give.

    Raises:
        ConfigurationError: one is missing (the message names argument and variable) or malformed,
            or two contradict each other.
    """
    credentials, endpoint = hide_credentials(credentials), hide_address(endpoint)
    options = {n: hide_address(v) if n == "proxy" else v for n, v in options.items()}
    given: dict[str, Any] = {"bucket": bucket, "account_id": account_id, "region": region}
    given |= {"index": index, "endpoint": endpoint, "internal": internal}
    found = find_settings(given, allow_http=allow_http, environment=environment)
    required = ("bucket", "account_id", "region") if bucket_required else ("account_id", "region")
    if missing := [name for name in required if name not in found]:
        raise _missing_error(*missing)
    values = {name: setting.value for name, setting in found.items()}
    values.setdefault("internal", False)
    if "endpoint" not in values:
        values["endpoint"] = public_endpoint(values["region"], internal=values["internal"])
    bucket = values.get("bucket")
    return ClientConfig(
        bucket=bucket,
        account_id=values["account_id"],
        region=values["region"],
        index=values.get("index"),
        endpoint=remove_bucket(values["endpoint"], bucket, values["account_id"]),
        credentials=source_of(credentials),
        credentials_kind=credentials_kind or _kind_of(credentials),
        internal=values["internal"],
        allow_http=allow_http,
        **_check_options(options),
    )


class Setting(NamedTuple):
    """A setting's value, checked, and what gave it: an argument, or a variable by its name."""

    value: Any
    source: Reference | str


def find_settings(
    arguments: Mapping[str, Any],
    *,
    allow_http: bool = False,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Setting]:
    """Return where arguments, else the environment, point; what nothing names is not in it.

    An endpoint and an ARN name several settings at once. Arguments go before the variables of all
    that they name.

    Raises:
        ConfigurationError: one is malformed, or two contradict each other.
    """
    found: dict[str, Setting] = {}
    for name in VARIABLES:
        if arguments.get(name) is not None:
            _add(found, _read_setting(name, arguments[name], allow_http), refer(f"{name}="))
    missing = [name for name in VARIABLES if name not in found]
    internal = bool(arguments.get("internal"))
    if internal:
        if "endpoint" in found and "internal" not in found:
            raise ConfigurationError(
                "pass either {endpoint=} or {internal=True}, not both.", argument="endpoint"
            )
        _add(found, {"internal": True}, refer("internal=True"))
    # What is asked for in code goes before what the environment says for all.
    settled = ({"index"} & found.keys()) | ({"internal", "endpoint"} if internal else set())
    for name in missing:
        if internal and name == "endpoint" and {"account_id", "region"} <= found.keys():
            continue  # nothing of it is wanted; plain OSS's tool has its own address there
        # An empty variable counts as unset: shells and container files write it so.
        value = _read_variable(VARIABLES[name], environment)
        if value is not None:
            said = _read_setting(name, value, allow_http)
            _add(found, {n: v for n, v in said.items() if n not in settled}, VARIABLES[name])
    return found


def _read_setting(name: str, value: Any, allow_http: bool = False) -> dict[str, Any]:
    """Return the settings that one gives, checked: itself, and what an ARN or address names."""
    if name == "endpoint":
        return read_endpoint(value, allow_http=allow_http)
    if name != "bucket":
        return {name: _CHECKS[name](value)}
    said = read_bucket(value)
    return {n: _check_default_index(v) if n == "index" else v for n, v in said.items()}


def _add(found: dict[str, Setting], said: Mapping[str, Any], source: Reference | str) -> None:
    """Add what one source says to what is known, or raise where another says otherwise."""
    for name, value in said.items():
        known = found.setdefault(name, Setting(value, source))
        if known.value != value:
            raise _contradiction(name, known, Setting(value, source))


_CLIENT = "this client"
_PLURALS = {
    "bucket": "buckets",
    "account_id": "accounts",
    "region": "regions",
    "index": "indexes",
    "internal": "networks",
}


def _contradiction(name: str, *two: Setting) -> ConfigurationError:
    """Return what is said of a setting that two places give, and not alike."""
    # What is quoted has passed its check, which lets through no address and no line break.
    first, second = (
        ("internal" if each.value else "public") if name == "internal" else quote(each.value)
        for each in two
    )
    one, other = (each.source for each in two)
    remedy = "leave out {one} or {other}, whichever is wrong"
    fields = {"settings": _PLURALS[name], "one": one, "other": other}
    return ConfigurationError(
        "two {settings}: {one} says {first}, {other} says {second}",
        argument=name,
        remedy="make another client" if one == _CLIENT else remedy,
        fields={**fields, "first": first, "second": second},
    )


def _read_variable(name: str, environment: Mapping[str, str] | None) -> Any:
    # by itself: the environment prints itself whole where an error shows a frame that names it
    found = os.environ if environment is None else environment
    return hide_address(found.get(name)) or None


def _kind_of(credentials: object) -> CredentialsKind:
    if credentials is None:
        return "environment"
    return "chain" if credentials == "chain" else "given"


def _missing_error(*names: str) -> ConfigurationError:
    """Return one error for all settings that are missing, a line for each."""
    lines = [
        f"No {name.replace('_', ' ')}: pass {{{name}=}} or set the environment variable "
        f"{VARIABLES[name]}."
        for name in names
    ]
    if names[1:]:
        lines.append(
            "Or pass {endpoint=} or set OSS_ENDPOINT: a bucket's own, as the console shows it, "
            "gives them all."
        )
    return ConfigurationError("\n".join(lines), argument=names[0])


def check_seconds(name: str, value: Any) -> float:
    """Return a number of seconds above 0, or raise ConfigurationError."""
    good = is_finite_number(value) and 0 < value <= _A_YEAR
    _require(good, name, value, "a number of seconds above 0 and at most {limit}", _A_YEAR)
    return float(value)


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    # Not isinstance: True is an int, and no count.
    good = type(value) is int and least <= value <= most
    _require(good, name, value, f"a whole number from {least} to {{limit}}", most)


def _require(good: bool, name: str, value: object, what: str, limit: int | None = None) -> None:
    if not good:
        message = f"{{argument}} must be {what}, not {{value}}."
        raise ConfigurationError(message, argument=name, value=value, limit=limit)


def _is_pacer(value: object) -> bool:
    # both: a lock, and many a limiter for asyncio, have `acquire` alone, of another meaning
    acquire, aacquire = (getattr(value, name, None) for name in ("acquire", "aacquire"))
    # what an async one returns would pass for a yes, whatever it means
    return callable(acquire) and callable(aacquire) and not inspect.iscoroutinefunction(acquire)


def _check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _CHECKS[name](v) if name in _CHECKS else v for name, v in options.items()}


def _retry_policy(value: object) -> RetryPolicy:
    if isinstance(value, RetryPolicy):
        return value
    if type(value) is int:
        return RetryPolicy(attempts=value)
    message = "{argument}= takes a RetryPolicy, or the number of attempts."
    raise ConfigurationError(message, argument="retry", value=value)


def _hook(value: Any) -> Callable[[FinishedCall], object] | None:
    # a coroutine function would return what nobody awaits
    if value is None or (callable(value) and not inspect.iscoroutinefunction(value)):
        return cast("Callable[[FinishedCall], object] | None", value)
    message = "{argument} takes a plain function of one FinishedCall, not {value}."
    raise ConfigurationError(message, argument="on_call", value=value)


def _check_default_index(value: object) -> str:
    try:
        return check_index(value)
    except InvalidRequestError as error:
        refusal = {"refusal": error}
        raise ConfigurationError(
            "{refusal}", argument="index", value=value, fields=refusal
        ) from None


def _header_names(value: Iterable[str]) -> tuple[str, ...]:
    # A lone name is refused: it would be taken for the list of its letters.
    names = (value,) if not isinstance(value, Iterable) else tuple(value)
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        message = "{argument} must be a list of header names."
        raise ConfigurationError(message, argument="additional_headers", value=value)
    return names


# What is more than a number, by argument: the constructor and `with_options` take the same.
_CHECKS: dict[str, Any] = {
    "account_id": check_account_id,
    "region": check_region,
    "index": _check_default_index,
    "credentials": source_of,
    "retry": _retry_policy,
    "additional_headers": _header_names,
    "on_call": _hook,
    "record": read_record,
}
