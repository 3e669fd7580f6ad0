"""`oss-vectors serve`: the embedded service as a server on this machine."""

import contextlib
import importlib.util
import math
import os
import secrets
import shlex
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from ... import emulator
from ...client.credentials import Credentials
from ...client.endpoint import check_account_id, check_bucket
from ...client.errors import ConfigurationError
from ...client.wire import parse_json
from ...emulator.behaviour import SWITCHES, check_switch, describe_values
from ...emulator.http.admission import Admission
from ...emulator.http.application import BODY_TIMEOUT, STUDIO_PATH, HttpExchange
from ...emulator.http.server import DEFAULT_HOST, HEAD_TIMEOUT, run
from ...emulator.operations.table import operation_of
from ..rendering import echo
from ..values import Number
from .studio import ServedPage

_BASES = {"documented": emulator.Behaviour.documented, "quick": emulator.Behaviour}
# not the variables that clients read: a real key has no business in an embedded service
_KEY_VARIABLES = ("OSS_VECTORS_SERVE_ACCESS_KEY_ID", "OSS_VECTORS_SERVE_ACCESS_KEY_SECRET")


def _refuse_key(_: click.Context, __: click.Parameter, given: str | None) -> None:
    if given is not None:
        raise click.BadParameter(
            "keys are not given on the command line, which other users of this machine see; "
            f"use --access-key-file, or {' and '.join(_KEY_VARIABLES)}."
        )


def _check_names(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Admission(names)
    except ConfigurationError as error:
        raise click.BadParameter(f"{error}.") from None
    return names


def _check_seconds(_: click.Context, __: click.Parameter, seconds: float) -> float:
    if not 0 < seconds < math.inf:  # a NaN neither
        raise click.BadParameter("it must be a number of seconds, more than 0.")
    return seconds


@click.command("serve")
@click.option(
    "--host",
    default=DEFAULT_HOST,
    show_default=True,
    help="The address to listen on; others than this machine are served only with keys of its own.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True)
@click.option(
    "--data", type=click.Path(dir_okay=False), help="Keep the data in this file, not in memory."
)
@click.option(
    "--behaviour",
    multiple=True,
    metavar="documented|quick|record=FILE|NAME=VALUE",
    callback=lambda _, __, words: behaviour_of(words),
    help="Be as the service is documented, lags and caps included, which is the default; or quick, "
    "without lags; or as an account's was found to be by doctor --record FILE; NAME=VALUE changes "
    "one switch of it, as below. May be given again.",
)
@click.option(
    "--faults",
    is_flag=True,
    help="Let programs on this machine switch faults on, at /_emulator/faults.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    callback=_check_names,
    help="A name that it is reached by, as from a container or through a tunnel, besides localhost "
    "and the service's own; .NAME for all that end so. May be given again.",
)
@click.option(
    "--head-timeout",
    type=Number(),
    callback=_check_seconds,
    default=HEAD_TIMEOUT,
    show_default=True,
    help="Seconds within which the head of a request must arrive.",
)
@click.option(
    "--body-timeout",
    type=Number(),
    callback=_check_seconds,
    default=BODY_TIMEOUT,
    show_default=True,
    help="Seconds within which the body of a request must arrive.",
)
@click.option(
    "--bucket",
    "buckets",
    multiple=True,
    default=[emulator.DEVELOPMENT_BUCKET],
    show_default=True,
    help="A bucket to make; may be given again.",
)
@click.option("--region", default=emulator.DEVELOPMENT_REGION, show_default=True)
@click.option("--account-id", default=emulator.DEVELOPMENT_ACCOUNT_ID, show_default=True)
@click.option(
    "--access-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What clients must sign with: a file of two lines, the access key's id and its secret. "
    f"Without it {' and '.join(_KEY_VARIABLES)} are used if they are set, else the published "
    "development key.",
)
@click.option(
    "--verbose", "-v", is_flag=True, help="Print a line for each request, on standard error."
)
# known only to be refused with a remedy, and without a word of the value
@click.option("--access-key-id", hidden=True, expose_value=False, callback=_refuse_key)
@click.option("--access-key-secret", hidden=True, expose_value=False, callback=_refuse_key)
def command(
    *,
    host: str,
    port: int,
    data: str | None,
    behaviour: emulator.Behaviour,
    faults: bool,
    allow_hosts: tuple[str, ...],
    head_timeout: float,
    body_timeout: float,
    buckets: tuple[str, ...],
    region: str,
    account_id: str,
    access_key_file: Path | None,
    verbose: bool,
) -> None:
    """Run the embedded service until Ctrl-C; --port 0 takes any free port.

    It listens on this machine only, unless --host says otherwise. What a page in a browser sends is
    refused with 403 and a line here, and so is a request for a host that it does not know.
    """
    check_account_id(account_id)
    key, told = _access_key(access_key_file, account_id)
    # published keys protect nothing; where there are others, the page has one as well
    token = None if key.is_published else secrets.token_urlsafe(24)
    settings = {
        "OSS_REGION": region,
        "OSS_ACCOUNT_ID": account_id,
        "OSS_VECTORS_BUCKET": next(iter(buckets), ""),
    }
    with emulator.Service(data, access_keys=[key], region=region, behaviour=behaviour) as service:
        for bucket in buckets:
            service.create_bucket(account_id, check_bucket(bucket))
        run(
            service,
            host,
            port,
            allow_faults=faults,
            allow_hosts=allow_hosts,
            head_timeout=head_timeout,
            body_timeout=body_timeout,
            on_ready=lambda at: _announce(at, settings, told, token),
            on_exchange=_print_exchange if verbose else None,
            pages={STUDIO_PATH: ServedPage(service, key, next(iter(buckets), None), token).answer},
        )


def _print_exchange(exchange: HttpExchange) -> None:
    """Print what was asked, of which index, and what became of it; never who asked, nor a query."""
    request, status = exchange.request, exchange.status
    operation = operation_of(request)
    name = f"{request.method} {request.path[:_SHOWN]}" if operation is None else operation.name
    index = _member(request.body, "indexName") or "-"
    error = _member(exchange.error, "Error", "Code")
    outcome = f"{status or 'no reply'}{f' {error}' if error else ''}"
    took = f"{exchange.seconds * 1000:.1f} ms"
    echo(f"{time.strftime('%H:%M:%S')} {name} {index[:_SHOWN]} {outcome} {took}", err=True)


_SHOWN = 64  # letters of a path or a name, which may be anything


def _member(body: bytes, *names: str) -> str:
    """Return a text within a JSON body; "" where there is none."""
    try:
        value = parse_json(body)
        for name in names:
            value = value[name]
    except (ValueError, LookupError, TypeError):
        return ""
    return value if isinstance(value, str) else ""


def _access_key(path: Path | None, account_id: str) -> tuple[emulator.AccessKey, str]:
    # the key that clients must use, and the lines that tell them of it
    if path is not None:
        whose = f"the two lines of {path}"
        found = _lines_of(path)
    elif any(name in os.environ for name in _KEY_VARIABLES):
        whose = " and ".join(_KEY_VARIABLES)
        found = [os.environ.get(name, "") for name in _KEY_VARIABLES]
    else:
        name, secret = emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET
        told = f"export OSS_ACCESS_KEY_ID={name}\nexport OSS_ACCESS_KEY_SECRET={secret}"
        return emulator.AccessKey(name, secret, account_id), told
    try:
        name, secret = found
        Credentials(name, secret)  # a pair that no client takes is none
        key = emulator.AccessKey(name, secret, account_id)
    except ValueError:
        found, secret = [], ""  # an error shows a traceback's frames to whoever collects them
        text = f"{whose}: they must be an access key's id and its secret, both without spaces."
        raise click.UsageError(text) from None
    return key, f"# OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET: {whose}."


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}."
    except UnicodeDecodeError:
        reason = f"{path} is not UTF-8."
    raise click.BadParameter(reason, param_hint="--access-key-file")


def _announce(endpoint: str, settings: dict[str, str], key_lines: str, token: str | None) -> None:
    # for a shell to read: comments and exports can be pasted as they are
    click.echo(f"# OSS Vectors, embedded, on {endpoint}; Ctrl-C ends it. Clients find it with:")
    click.echo(
        "# From a container: --host 0.0.0.0, keys of its own (--access-key-file), and --allow-host "
        "with the name that clients there ask for, such as host.docker.internal."
    )
    page = f"{endpoint}{STUDIO_PATH}{f'#{token}' if token else ''}"
    if not all(map(importlib.util.find_spec, ("jinja2", "starlette"))):
        page = 'pip install "oss-vector-retriever[studio]"'  # the address would only say the same
    click.echo(f"# Its records in a browser: {page}")
    for name, value in {"OSS_ENDPOINT": endpoint, **settings}.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(key_lines)


def behaviour_of(words: Iterable[str]) -> emulator.Behaviour:
    """Return the behaviour that words such as `quick` and `order=shuffled` describe.

    Raises:
        click.BadParameter: one is unknown, has an impossible value, or contradicts another.
    """
    given = list(words)
    bases = list(dict.fromkeys(filter(_is_base, given)))
    if len(bases) > 1:
        raise click.BadParameter(f"{' and '.join(bases)} contradict each other.")
    behaviour = _read_base(bases[0] if bases else "documented")
    return replace(behaviour, **dict(_parse_switch(word) for word in given if not _is_base(word)))


def behaviour_help() -> str:
    """Return the switches, their values, and what they are by default, for a help text."""
    documented, quick = emulator.Behaviour.documented(), emulator.Behaviour()
    lines = []
    for name in SWITCHES:
        here, there = (str(getattr(each, name)).lower() for each in (documented, quick))
        shown = here if here == there else f"{here}; quick: {there}"
        lines.append(f"{name}={describe_values(name)} [{shown}]")
    head = "Switches of --behaviour, and how they are [documented]:"
    return "\n".join(["\b", head, *lines])


_RECORD = "record="


def _is_base(word: str) -> bool:
    return word in _BASES or word.startswith(_RECORD)


def _read_base(word: str) -> emulator.Behaviour:
    if word in _BASES:
        return _BASES[word]()
    try:
        return emulator.Behaviour.from_record(word.removeprefix(_RECORD))
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None


def _parse_switch(switch: str) -> tuple[str, Any]:
    name, equals, text = switch.partition("=")
    if name not in SWITCHES:
        if not equals:
            raise click.BadParameter(f"it is documented, quick or NAME=VALUE, not {switch!r}.")
        raise click.BadParameter(f"there is no switch {name!r}; there are {', '.join(SWITCHES)}.")
    value = _read_value(SWITCHES[name], text)
    try:
        check_switch(name, value)
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None
    return name, value


def _read_value(kind: Any, text: str) -> object:
    """Return the value that a text stands for, or the text where it stands for none."""
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}.get(text, text)
    word = text.lower()
    if kind is bool:
        return {"true": True, "false": False}.get(word, text)
    if word == "none":
        return None
    with contextlib.suppress(ValueError):
        return float(text) if float in (kind, *get_args(kind)) else int(text)
    return text


command.epilog = behaviour_help()
