"""`oss-vectors invoke-operation`: any call to the service, signed and retried as all others are."""

import re
import sys
from typing import Any
from urllib.parse import quote

import click

from ...client.flow import Operation, call
from ...client.models.messages import Reply
from ...client.wire import parse_json
from ..arguments import CONNECTION, OUTPUT, Command
from ..catalogue import LEVELS
from ..connection import Connection, open_client
from ..errors import Failure
from ..rendering import Document, echo, print_document
from ..values import Json

# a header's name and value as they may stand in a request: nothing in them ends the line
_HEADER = re.compile(
    r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)"
)
# what the client computes, or what another value of would lead elsewhere
_OWN_HEADERS = frozenset(
    {
        *("accept-encoding", "authorization", "connection", "content-length", "content-md5"),
        *("content-type", "date", "expect", "host", "transfer-encoding", "user-agent"),
        *("x-oss-content-sha256", "x-oss-date", "x-oss-security-token"),
    }
)


def _name_of(_: click.Context, __: click.Parameter, given: str) -> str:
    """Return an operation's name as policies have it, from any of the ways in which it is written.

    It stands in errors, and in no request: what a request asks for is said by its parameters.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*", given):
        raise click.BadParameter("it must be a name such as putVectorIndexFusion.")
    name = "".join(word[0].upper() + word[1:] for word in given.split("-"))
    # no advice can be given on the rights for an operation that nobody here knows
    return name if name in LEVELS else f"invoke-operation {name}"


def _query_of(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> str:
    """Return parameters as a query; each is a text, which is encoded here."""
    parameters: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not name or name in parameters:
            raise click.BadParameter(f"{text!r} has no name, or one that stands twice.")
        try:
            # every sign: the signature covers the query as it is sent
            parameters[name] = quote(name, safe="") + sign + quote(value, safe="")
        except UnicodeEncodeError:
            raise click.BadParameter(f"{text!r} is not UTF-8.") from None
    return "&".join(parameters.values())


def _headers_of(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    headers: dict[str, str] = {}
    for text in given:
        found = _HEADER.fullmatch(text.rstrip(" \t"))
        if found is None:
            raise click.BadParameter("a header is written as 'name: value', in ASCII.")
        name = found[1].lower()
        if name in _OWN_HEADERS:
            raise click.BadParameter(f"{name} is set by the client.")
        if name in headers:
            raise click.BadParameter(f"{name} stands twice.")
        headers[name] = found[2]
    return tuple(headers.items())


@click.command("invoke-operation", cls=Command)
@click.option(
    "--op-name",
    "name",
    required=True,
    callback=_name_of,
    help="Name of the operation, such as putVectorIndexFusion; for errors.",
)
@click.option(
    "--method",
    type=click.Choice(["GET", "POST", "PUT", "DELETE"], case_sensitive=False),
    required=True,
    help="HTTP method.",
)
@click.option(
    "--parameters",
    "query",
    multiple=True,
    callback=_query_of,
    metavar="NAME[=VALUE]",
    help="A query parameter, such as putVectorIndexFusion; may be given again.",
)
@click.option(
    "--headers",
    multiple=True,
    callback=_headers_of,
    metavar="'NAME: VALUE'",
    help="A header; may be given again. Those of the signature are set by the client.",
)
@click.option(
    "--body",
    type=Json(dict, list, as_text=True),
    default=b"",
    show_default=False,
    help="The body: JSON, which is sent as it stands.",
)
@click.option(
    "--no-bucket", is_flag=True, help="Ask the region: the operation is about no single bucket."
)
def command(
    *,
    name: str,
    method: str,
    query: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    no_bucket: bool,
    output_format: str | None,
    output_query: Any,
    wide: bool,
    **connection_flags: Any,
) -> None:
    """Make any call to the service, signed: of an operation that has no command here yet.

    It is a write where --method is not GET, whatever the operation does.
    """
    operation = Operation(
        name,
        _reply,
        method.upper(),
        query,
        body,
        headers,
        on_bucket=not no_bucket,
        # nobody here knows: as with other writes, a kept connection may have died unseen
        idempotent=method.upper() == "GET",
    )
    connection = Connection.pop_from(connection_flags)
    options = {"bucket_required": not no_bucket, "begins_file": operation.method != "GET"}
    with open_client(connection, **options) as client:
        reply = client.run(call, operation)
    _print(reply, output_format, output_query, wide=wide)


command.params.extend([*OUTPUT, *CONNECTION])


def _reply(reply: Reply) -> Reply:
    return reply


def _print(reply: Reply, style: str | None, query: Any, *, wide: bool) -> None:
    """Print what the service said: as it stands, or as JSON in another form."""
    text = reply.body.decode(errors="replace")
    if not text.strip():
        return
    if style in (None, "json") and query is None and not sys.stdout.isatty():
        echo(text.rstrip("\r\n"))
        return
    try:
        value = parse_json(reply.body)
    except ValueError:
        if style in (None, "json") and query is None:
            echo(text.rstrip("\r\n"))
            return
        raise Failure(
            "the reply is no JSON; leave out --output-format and --output-query"
        ) from None
    document = Document(value, [value], single=isinstance(value, dict))
    print_document(document, style, query, wide=wide)
