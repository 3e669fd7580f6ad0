"""`oss-vectors mcp`: search and fetch in one index, for agents, by the Model Context Protocol."""

import asyncio
import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...client.errors import ConfigurationError, InvalidRequestError, quote
from ...emulator.http.admission import Admission, is_loopback
from ..arguments import CONNECTION, INDEX, Command
from ..connection import Connection, open_client
from ..errors import hide_secrets, word
from ..rendering import echo
from ..values import Json, Names, join

if TYPE_CHECKING:
    from ...mcp.server import OSSVectorMCPServer

_VARIABLE = "OSS_VECTORS_MCP_"
_TOKEN = f"{_VARIABLE}TOKEN"


class _Keys(Names):
    """Names, of which a variable holds what a flag does; standard input is the protocol's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the names."""
        try:
            return super().convert(_refuse_stdin(value), param, ctx)
        except InvalidRequestError as error:
            # no argument of the client's, by which errors are worded elsewhere, has this flag
            self.fail(error.render(word), param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the variable's value as that of one flag; click would split it at blanks."""
        return [rv]


class _Filter(Json):
    """A value in JSON, from anywhere but standard input."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value."""
        return super().convert(_refuse_stdin(value), param, ctx)


def _refuse_stdin(value: Any) -> Any:
    if value == "-":
        raise click.BadParameter("standard input is the client's; use file://PATH.")
    return value


def _refuse_token(_: click.Context, __: click.Parameter, given: str | None) -> None:
    if given is not None:
        raise click.BadParameter(
            "a token is not given on the command line, which other users of this machine see; "
            f"use --token-file, or {_TOKEN}."
        )


def _check_hosts(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Admission(names)
    except ConfigurationError as error:
        raise click.BadParameter(f"{error}.") from None
    return names


def _option(flag: str, text: str, **settings: Any) -> click.Option:
    # a host's configuration often has variables and no flags
    name = flag.removeprefix("--").replace("-", "_").upper()
    settings = {"envvar": _VARIABLE + name, "show_envvar": True, **settings}
    declared = [flag, *filter(None, [settings.pop("name", None)])]
    return click.Option(declared, help=text, **settings)


_SHOWN = {"show_default": True}
_OPTIONS = (
    _option(
        "--transport",
        "stdio, for a host that starts this command; or http, streamable, at /mcp.",
        type=click.Choice(["stdio", "http"]),
        default="stdio",
        **_SHOWN,
    ),
    _option(
        "--embeddings",
        "Who embeds what is searched for, as LangChain names it, such as "
        "openai:text-embedding-3-small: the model of the stored vectors. Queries are sent there. "
        "Without it search looks up ids, beginnings of ids and filters.",
        metavar="PROVIDER:MODEL",
    ),
    _option(
        "--prefix",
        "Only ids that begin with this exist for agents.",
        name="key_prefix",
        metavar="PREFIX",
        default="",
    ),
    _option(
        "--allow",
        "The only ids that exist for agents: separated by commas, a JSON array, or file://PATH "
        "with one a line; may be given again.",
        name="allowed_keys",
        type=_Keys(),
        multiple=True,
        callback=join,
        metavar="KEYS",
    ),
    _option(
        "--filter",
        'Only documents that pass this exist for agents, as {"team": "search"}.',
        type=_Filter(dict),
    ),
    _option("--description", "What the documents are, in a sentence that models read.", default=""),
    _option(
        "--url-field",
        "Metadata field with the http or https URL to cite a document by; else it is cited as "
        "ossvectors://bucket/index/key.",
        metavar="NAME",
    ),
    _option("--title-field", "Metadata field with the title; else the id is.", metavar="NAME"),
    _option(
        "--metadata-fields",
        "The only metadata that agents see, separated by commas; all without it.",
        type=_Keys(),
        multiple=True,
        callback=join,
        metavar="NAMES",
    ),
    _option("--text-key", "A further metadata field to look for text in.", metavar="NAME"),
    _option(
        "--k", "Documents that a search shows.", type=click.IntRange(1, 100), default=10, **_SHOWN
    ),
    _option(
        "--max-characters",
        "Characters of one answer.",
        type=click.IntRange(1_000, 10_000_000),
        default=20_000,
        **_SHOWN,
    ),
    _option(
        "--max-ids", "Ids taken of one question.", type=click.IntRange(1, 100), default=50, **_SHOWN
    ),
    _option(
        "--snippet",
        "Characters of its text that a search shows with each result.",
        type=click.IntRange(0, 10_000),
        default=0,
        **_SHOWN,
    ),
    _option(
        "--scan",
        "Ids to list, at most, to find those that begin like a query and to suggest some for one "
        "that does not exist.",
        type=click.IntRange(0, 10_000_000),
        default=1_000,
        **_SHOWN,
    ),
    _option(
        "--host",
        "Of http: the address to listen on; others than this machine need a token.",
        default="127.0.0.1",
        **_SHOWN,
    ),
    _option(
        "--port",
        "Of http: the port; 0 takes any free one.",
        type=click.IntRange(0, 65535),
        default=8765,
        **_SHOWN,
    ),
    _option(
        "--allow-host",
        "Of http: a name that it is reached by, as through a tunnel, besides localhost; .NAME for "
        "all that end so. May be given again.",
        name="allow_hosts",
        multiple=True,
        callback=_check_hosts,
        metavar="NAME",
    ),
    _option(
        "--token-file",
        "Of http: a file of one line, the token that clients must send as Authorization: Bearer. "
        f"Without it {_TOKEN} is used if it is set.",
        type=click.Path(dir_okay=False, path_type=Path),
    ),
    # known only to be refused with a remedy, and without a word of the value
    click.Option(["--token"], hidden=True, expose_value=False, callback=_refuse_token),
)


@click.command("mcp", cls=Command, params=[*_OPTIONS, INDEX, *CONNECTION])
def command(
    *,
    transport: str,
    embeddings: str | None,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...],
    token_file: Path | None,
    **values: Any,
) -> None:
    """Serve search and fetch in one index to agents, by MCP, until the client leaves or Ctrl-C.

    The tools are search, fetch, fetch_many and neighbors; each record is a resource too. All of
    them only read. What is to be known is said on stderr: stdout belongs to the protocol.
    """
    connection = Connection.pop_from(values)
    token = _read_token(token_file) if transport == "http" else None
    # before anything that may print is loaded
    with _claim(transport) as descriptors, open_client(connection, index=values["index"]) as client:
        model = None if embeddings is None else _open_embeddings(embeddings)
        server = _make_server(client, embedding=model, **values)
        _announce(client, embeddings, values)
        if descriptors is not None:
            _run(server, server.serve_stdio(descriptors))
            return
        if token is None and not all(map(is_loopback, allow_hosts)):
            _say("no token is set: whoever reaches this by --allow-host can read it.")
        serving = server.serve_http(
            host,
            port,
            token=token,
            allow_hosts=allow_hosts,
            on_ready=lambda url: _say(f"listening on {url}; Ctrl-C ends it."),
        )
        _run(server, serving)


@contextmanager
def _claim(transport: str) -> Iterator[tuple[int, int] | None]:
    from ...mcp.stdio import claim_stdio  # noqa: PLC0415 - not for `--help`

    with claim_stdio() if transport == "stdio" else nullcontext() as descriptors:
        yield descriptors


def _make_server(client: Any, **options: Any) -> "OSSVectorMCPServer":
    # not the door, whose error names it and no flag
    from ...mcp.server import OSSVectorMCPServer  # noqa: PLC0415 - not for `--help`

    return OSSVectorMCPServer(client, **options)


def _run(server: "OSSVectorMCPServer", serving: Coroutine[Any, Any, None]) -> None:
    """Serve on a loop; Ctrl-C leaves it where it is, for threads may be waiting in it."""

    async def serve() -> None:
        try:
            await serving
        finally:
            await server.aclose()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(serve())
    except Exception:
        loop.close()
        raise
    # after Ctrl-C, alone or in a group, it is not closed: that would wait for replies and for
    # embeddings, which nobody wants then
    loop.close()


def _open_embeddings(name: str) -> Any:
    try:
        from langchain.embeddings import init_embeddings  # noqa: PLC0415 - it takes its time
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain":
            raise
        raise click.UsageError(
            "--embeddings needs langchain and the provider's package, such as: pip install "
            "langchain langchain-openai"
        ) from None
    try:
        return init_embeddings(name)
    except ImportError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - a provider's, of any kind
        # a ValueError of LangChain speaks of the name; what others say may quote a part of a key
        reason = str(error) if type(error) is ValueError else _no_words(error)
    raise click.BadParameter(reason, param_hint="--embeddings")


def _no_words(error: Exception) -> str:
    return (
        f"the provider's package refuses it ({type(error).__name__}). Is what it needs in the "
        "environment, such as its API key?"
    )


def _read_token(path: Path | None) -> str | None:
    if path is None:
        given = os.environ.get(_TOKEN)
        return given or None
    try:
        return path.read_text("utf-8-sig").strip()
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}."
    except UnicodeDecodeError:
        reason = f"{path} is not UTF-8."
    raise click.BadParameter(reason, param_hint="--token-file")


def _announce(client: Any, embeddings: str | None, values: Mapping[str, Any]) -> None:
    config = client.config
    _say(f"serves {config.bucket_or_raise()}/{config.index_or(values['index'])}, only to be read.")
    if embeddings is None:
        _say("no --embeddings: search looks up ids, beginnings of ids and filters.")
    else:
        _say(f"what agents search for is sent to {embeddings}, which embeds it.")
    if values["key_prefix"]:
        _say(f"only ids that begin with {quote(values['key_prefix'])} exist for agents.")
    if values["allowed_keys"] is not None:
        _say(f"only {len(set(values['allowed_keys'])):,} ids exist for agents.")
    if values["filter"] is not None:
        _say("only what passes --filter exists for agents.")


def _say(text: str) -> None:
    echo(hide_secrets(f"oss-vectors mcp: {text}"), err=True)
