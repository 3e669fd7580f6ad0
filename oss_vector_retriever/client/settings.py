"""`ClientSettings`: where a client points and how, in a form that travels and holds no secret."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from .config import ClientConfig, CredentialsKind, resolve_config
from .endpoint import public_endpoint
from .errors import ConfigurationError
from .hidden import Hidden
from .models.account_record import AccountRecord
from .models.limits import DEFAULT_LIMITS, Limits
from .rate_limiter import RateLimit
from .retry import RetryPolicy

_USUAL_RETRY = RetryPolicy()
_KINDS = ("environment", "chain", "given")
_SAME_IN_BOTH = (
    *("bucket", "account_id", "region", "index", "internal", "allow_http", "max_concurrency"),
    *("timeout", "connect_timeout", "coalesce", "max_reply_bytes"),
    *("additional_headers", "user_agent_extra", "record"),
)
_NUMBERS = ("rate_limit", "retry", "limits")
Numbers = TypeVar("Numbers", RetryPolicy, Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Where a client points and how, for another process, a file or another client.

    It holds JSON values, `RetryPolicy`, `RateLimit` and `Limits`, never credentials, nor the
    userinfo of a proxy. `OSSVectorClient.from_settings` is the way back; nothing of it is then
    taken from the environment but credentials that were the environment's.

    Attributes not named here are the arguments of a client by the same name.

    Attributes:
        endpoint: another address than the region's own, or None.
        proxy: the proxy that was given, without userinfo.
        credentials: how they were configured: `"environment"`, `"chain"`, or `"given"`, which
            cannot travel.
        local: the file of an embedded service, or None.
        behaviour: the switches of its `Behaviour` that are not as usual, by name.
        omitted: names of what the client had and the settings do not hold.

    Examples:
        >>> place = {"bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou"}
        >>> settings = OSSVectorClient(**place, timeout=5).settings
        >>> ClientSettings.from_dict(settings.to_dict()).timeout
        5
    """

    bucket: str | None
    account_id: str
    region: str
    index: str | None = None
    endpoint: str | None = None
    internal: bool = False
    allow_http: bool = False
    max_concurrency: int = 8
    timeout: float = 30.0
    connect_timeout: float = 5.0
    retry: RetryPolicy = _USUAL_RETRY
    rate_limit: float | RateLimit | None = None
    coalesce: bool | float = True
    limits: Limits = DEFAULT_LIMITS
    max_reply_bytes: int = 64 * 1024 * 1024
    additional_headers: tuple[str, ...] = ()
    user_agent_extra: str | None = None
    proxy: str | None = None
    ca_file: str | None = None
    credentials: Literal["environment", "chain", "given"] = "environment"
    local: str | None = None
    behaviour: Mapping[str, Any] = field(default_factory=dict, hash=False)
    omitted: tuple[str, ...] = ()
    record: AccountRecord | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; what is None or empty is left out, and limits that are the usual."""
        # Limits are the service's: what a newer version knows of them is better than what this did.
        usual = asdict(DEFAULT_LIMITS)
        members = asdict(self)
        members["record"] = None if self.record is None else self.record.to_dict()
        members["limits"] = {n: v for n, v in members["limits"].items() if v != usual[n]}
        written = {n: v for n, v in members.items() if v is not None and v not in ((), {})}
        # Through JSON, so that neither a subclass of str nor a number of numpy's travels by name.
        plain: dict[str, Any] = json.loads(json.dumps(written))
        return plain

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Return the settings that `to_dict` has written; nothing is imported by name.

        An option of a newer version that this one does not know is refused: a client without it
        would not be the one that was saved.

        Raises:
            ConfigurationError: a member is unknown, missing or of another kind.
        """
        # Only names of fields are looked up, never a class: a dict from outside can start nothing.
        given = known_members("client", members, cls)
        if missing := [name for name in ("account_id", "region") if name not in given]:
            raise ConfigurationError(f"the saved settings lack {' and '.join(missing)}.")
        if given.get("credentials", "given") not in _KINDS:
            raise ConfigurationError(f"saved credentials are one of {', '.join(_KINDS)}.")
        given.setdefault("bucket", None)
        if "retry" in given:
            given["retry"] = RetryPolicy(**known_members("retry", given["retry"], RetryPolicy))
        if isinstance(given.get("rate_limit"), Mapping):
            members = known_members("rate_limit", given["rate_limit"], RateLimit)
            given["rate_limit"] = RateLimit(**members)
        given["limits"] = Limits(**known_members("limits", given.get("limits", {}), Limits))
        for name in ("endpoint", "proxy", "ca_file", "local"):
            if not isinstance(given.get(name), str | None):
                kind = type(given[name]).__name__
                raise ConfigurationError(f"the saved {name} is a text, not {kind}.")
        if not isinstance(given.get("behaviour", {}), Mapping):
            kind = type(given["behaviour"]).__name__
            raise ConfigurationError(f"the saved behaviour is a dict, not {kind}.")
        for name in ("additional_headers", "omitted"):
            names = given.get(name, [])
            if not isinstance(names, list | tuple):
                raise ConfigurationError(f"saved {name} are a list, not {type(names).__name__}.")
            given[name] = tuple(names)
        if "record" in given:
            given["record"] = AccountRecord.from_dict(given["record"])
        return cls(**given)

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle holds what the dict holds, and is read by a newer version as the dict is.
        return type(self).from_dict, (self.to_dict(),)


def known_members(what: str, members: object, kind: type) -> dict[str, Any]:
    """Return the members of a saved object, all of which this version knows."""
    if not isinstance(members, Mapping):
        raise ConfigurationError(f"saved {what} settings are a dict, not {type(members).__name__}.")
    if unknown := members.keys() - {each.name for each in fields(kind)}:
        raise ConfigurationError(
            f"saved {what} settings hold {', '.join(sorted(map(str, unknown)))}, which this "
            "version does not know; was it saved by a newer one?"
        )
    return dict(members)


def settings_of(
    config: ClientConfig,
    local: str | None = None,
    behaviour: Mapping[str, Any] | None = None,
    *,
    has_clock: bool = False,
) -> ClientSettings:
    """Return what travels of a client's configuration.

    `local` is the file of its embedded service, `behaviour` what is not as usual there; a clock of
    that service's own does not travel.
    """
    omitted = list(config.omitted)
    proxy = config.proxy
    if isinstance(proxy, Hidden):
        proxy = _without_userinfo(proxy.reveal())
        omitted.append("userinfo of the proxy")
    if config.on_call is not None:
        omitted.append("on_call")
    rate_limit = config.rate_limit
    if not isinstance(rate_limit, int | float | RateLimit | None):
        omitted.append("rate_limit")  # an object, which other processes could not share
        rate_limit = None
    if config.credentials_kind == "given":
        omitted.append("credentials")
    if has_clock:
        omitted.append("clock")
    # For the region's own address None travels, as it was given.
    own = public_endpoint(config.region, internal=config.internal)
    return ClientSettings(
        **{name: getattr(config, name) for name in _SAME_IN_BOTH},
        endpoint=None if config.endpoint == own else str(config.endpoint),
        rate_limit=rate_limit,
        retry=_numbers_alone("retry", config.retry, RetryPolicy, omitted),
        limits=_numbers_alone("limits", config.limits, Limits, omitted),
        proxy=proxy,
        ca_file=None if config.ca_file is None else os.fspath(config.ca_file),
        credentials="given" if config.credentials_kind == "local" else config.credentials_kind,
        local=local,
        behaviour=behaviour or {},
        omitted=tuple(dict.fromkeys(omitted)),
    )


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _numbers_alone(name: str, value: Numbers, kind: type[Numbers], omitted: list[str]) -> Numbers:
    """Return the numbers of a policy or of limits; methods of a user's own class do not travel."""
    if type(value) is kind:
        return value
    omitted.append(f"class of {name}")
    return kind(**{each.name: getattr(value, each.name) for each in fields(kind)})


def config_from(
    settings: ClientSettings,
    credentials: object = None,
    credentials_kind: CredentialsKind | None = None,
) -> ClientConfig:
    """Return the configuration that settings stand for; only credentials may be the environment's.

    `credentials` is what `credentials=` of a client takes; by default they are configured as they
    were, and those that did not travel are asked for at the first call.
    """
    if not isinstance(settings, ClientSettings):
        raise ConfigurationError(
            f"settings must be ClientSettings, not {type(settings).__name__}; those of to_dict() "
            "are read by ClientSettings.from_dict."
        )
    kind = settings.credentials
    # A function that asks: with it the client is made at once, and refuses when it first signs.
    if credentials is None and kind != "environment":
        credentials = "chain" if kind == "chain" else _ask_for_credentials
    return resolve_config(
        **{name: getattr(settings, name) for name in (*_SAME_IN_BOTH, *_NUMBERS)},
        endpoint=settings.endpoint,
        proxy=settings.proxy,
        ca_file=settings.ca_file,
        credentials=credentials,
        credentials_kind=credentials_kind,
        omitted=tuple(name for name in settings.omitted if name != "credentials"),
        environment={},  # the other process's may name another bucket, index or endpoint
        bucket_required=settings.bucket is not None,
    )


def _ask_for_credentials() -> NoReturn:
    raise ConfigurationError(
        "this client was saved without the credentials that it was given: give them with "
        "client.with_options(credentials=...), or from_settings(settings, credentials=...); to "
        "a component assign a client that has them, as its .client."
    )
