"""`oss-vectors serve`: the embedded service as a server on this machine."""

import math
import shlex
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from ... import emulator
from ...client.endpoint import check_account_id, check_bucket
from ...emulator.http.server import run

_TYPES = get_type_hints(emulator.Behaviour)


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True)
@click.option(
    "--data", type=click.Path(dir_okay=False), help="Keep the data in this file, not in memory."
)
@click.option(
    "--behaviour",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda _, __, switches: behaviour_of(switches),
    help="Choose what the service leaves open, as below; may be given again.",
)
@click.option(
    "--faults",
    is_flag=True,
    help="Let programs on this machine switch faults on, at /_emulator/faults.",
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
@click.option("--access-key-id", default=emulator.DEVELOPMENT_ACCESS_KEY_ID, show_default=True)
@click.option(
    "--access-key-secret",
    default=emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    show_default=True,
    help="What clients must sign with; never a real secret.",
)
def command(
    *,
    port: int,
    data: str | None,
    behaviour: emulator.Behaviour,
    faults: bool,
    buckets: tuple[str, ...],
    region: str,
    account_id: str,
    access_key_id: str,
    access_key_secret: str,
) -> None:
    """Run the embedded service on 127.0.0.1 until Ctrl-C; --port 0 takes any free port."""
    check_account_id(account_id)
    key_pair = {"--access-key-id": access_key_id, "--access-key-secret": access_key_secret}
    for flag, text in key_pair.items():
        if not text:
            raise click.BadParameter("it is empty.", param_hint=flag)
    key = emulator.AccessKey(access_key_id, access_key_secret, account_id)
    settings = {
        "OSS_REGION": region,
        "OSS_ACCOUNT_ID": account_id,
        "OSS_VECTORS_BUCKET": next(iter(buckets), ""),
        "OSS_ACCESS_KEY_ID": access_key_id,
        "OSS_ACCESS_KEY_SECRET": access_key_secret,
    }
    with emulator.Service(data, access_keys=[key], region=region, behaviour=behaviour) as service:
        for bucket in buckets:
            service.create_bucket(account_id, check_bucket(bucket))
        run(service, port=port, allow_faults=faults, on_ready=lambda at: _announce(at, settings))


def _announce(endpoint: str, settings: dict[str, str]) -> None:
    # for a shell to read: the comment and the exports can be pasted as they are
    click.echo(f"# OSS Vectors, embedded, on {endpoint}; Ctrl-C ends it. Clients find it with:")
    for name, value in {"OSS_ENDPOINT": endpoint, **settings}.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def behaviour_of(switches: Iterable[str]) -> emulator.Behaviour:
    """Return the behaviour that switches such as `order=shuffled` describe.

    Raises:
        click.BadParameter: one is unknown, or has an impossible value.
    """
    return emulator.Behaviour(**dict(map(_parse_switch, switches)))


def behaviour_help() -> str:
    """Return the switches, their values and defaults, for a help text."""
    lines = (
        f"{each.name}={_describe_type(_TYPES[each.name])} [{str(each.default).lower()}]"
        for each in fields(emulator.Behaviour)
    )
    return "\b\nSwitches of --behaviour, with their [defaults]:\n" + "\n".join(lines)


def _parse_switch(switch: str) -> tuple[str, Any]:
    name, equals, text = switch.partition("=")
    if name not in _TYPES:
        raise click.BadParameter(f"there is no switch {name!r}; there are {', '.join(_TYPES)}.")
    kind = _TYPES[name]
    try:
        if not equals:
            raise ValueError  # noqa: TRY301 - the same answer
        return name, _parse_value(kind, text)
    except (ValueError, KeyError):
        raise click.BadParameter(f"{name} must be {_describe_type(kind)}, not {text!r}.") from None


def _parse_value(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        return {choice: choice for choice in get_args(kind)}[text]
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind is float:
        number = float(text)
        if not 0 <= number < math.inf:  # a NaN neither
            raise ValueError(text)
        return number
    return None if text == "none" else int(text)


def _describe_type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    return "a number of seconds" if kind is float else "a whole number or none"


command.epilog = behaviour_help()
