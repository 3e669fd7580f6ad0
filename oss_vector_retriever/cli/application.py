"""The commands as click groups, each loaded when it is called."""

import difflib
import importlib
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from ..version import __version__
from .arguments import CONNECTION, OUTPUT, Command
from .catalogue import SECTIONS, Entry, Operation
from .connection import Connection, open_client
from .errors import INTERRUPTED, STATUSES, UNREAD, failure_of
from .interrupts import recognise_interrupts
from .reading import document_entry, read_records, show_documents
from .rendering import Listing, echo, print_document, print_lines, raise_failures

Sections = Mapping[str, tuple[Entry, ...]]


def run(words: list[str]) -> int:
    """Run the command that some words name and return the exit status."""
    try:
        # click would end the process itself, and with statuses of its own
        return commands.main(words, "oss-vectors", standalone_mode=False) or 0
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)  # click's own name what stands on the command line, as it stands there
        echo(shown.getvalue(), err=True, line_end=False)
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    # click prints help and version before any command is invoked, and stdout may be full or closed
    except BrokenPipeError:
        return UNREAD
    except OSError as error:
        if (failure := failure_of(error)) is None:
            raise
        failure.show()
        return failure.exit_code


class _Group(click.Group):
    """A group that lists commands by section and loads only the one that is called."""

    def __init__(self, *args: Any, sections: Sections, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._sections = sections

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = _commands_near(args[0], self.list_commands(ctx))
            if not near:
                raise
            text = f"{error.message.rstrip('.')}; did you mean {' or '.join(near)}?"
            raise click.UsageError(text, ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [entry.name for entries in self._sections.values() for entry in entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        listed = (entry for entries in self._sections.values() for entry in entries)
        entry = next((entry for entry in listed if entry.name == cmd_name), None)
        if entry is None:
            return None
        if entry.operation is not None:
            return _OperationCommand(entry.name, entry.summary, entry.operation)
        if entry.sections is not None:
            return _Group(entry.name, sections=entry.sections, help=entry.summary)
        if not entry.module:
            return completion
        module = importlib.import_module(f"oss_vector_retriever.cli.commands.{entry.module}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        # from the catalogue: click's own way loads every command for its summary
        for title, entries in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


def _commands_near(word: str, names: Iterable[str]) -> list[str]:
    """Return the commands that somebody may have meant by a word, the nearest first."""
    if word in _HABITS:
        return [_HABITS[word]]
    # underscores and capitals: names of the API and of Python
    said = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word).replace("_", "-").lower()
    if said in (names := list(names)):
        return [said]
    return difflib.get_close_matches(said, names, n=2, cutoff=0.7)


# what people type who come from other tools
_HABITS = {
    "cp": "import",
    "dump": "export",
    "fetch": "get-vectors",
    "get": "get-vectors",
    "load": "import",
    "ls": "list-vectors",
    "put": "put-vectors",
    "query": "query-vectors",
    "rm": "delete-vectors",
    "search": "query-vectors",
    "server": "serve",
    "start": "serve",
    "upsert": "put-vectors",
}


class _Commands(_Group):
    """The group of all commands.

    Every error of a command ends here, as a sentence and an exit status.
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in STATUSES.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            with recognise_interrupts():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise click.exceptions.Exit(UNREAD) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from None


@click.command(
    cls=_Commands, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="oss-vectors")
def commands() -> None:
    """Work with Alibaba Cloud OSS Vectors, or with an embedded service that needs no account."""


_PLACES = {
    "bash": 'eval "$(oss-vectors completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(oss-vectors completion zsh)" in ~/.zshrc, after compinit',
    "fish": "oss-vectors completion fish > ~/.config/fish/completions/oss-vectors.fish",
}


@click.command(epilog="\n".join(["\b", "For every new shell:", *_PLACES.values()]))
@click.argument("shell", type=click.Choice(list(_PLACES)))
def completion(shell: str) -> None:
    """Print what has SHELL complete the commands and flags of oss-vectors."""
    from click import shell_completion  # noqa: PLC0415 - no other command needs it

    script = shell_completion.get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"this release of click completes nothing in {shell}.")
    made = script(commands, {}, "oss-vectors", "_OSS_VECTORS_COMPLETE")
    # the base class's: that for bash runs bash to ask for its release, which may not be here
    echo(shell_completion.ShellComplete.source(made).strip())


class _OperationCommand(Command):
    """A command that calls one method of the client and prints the result."""

    def __init__(self, name: str, summary: str, operation: Operation) -> None:
        silent = operation.show in (None, raise_failures)
        output = () if silent else OUTPUT
        super().__init__(name, params=[*operation.flags, *output, *CONNECTION], help=summary)
        self._operation = operation

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # all that these commands take is named; bare words are most likely keys
            if "extra argument" not in error.message or all(p.name != "keys" for p in self.params):
                raise
            raise click.UsageError(
                f"{error.message.rstrip('.')}; keys go to --keys.", ctx
            ) from None

    def invoke(self, ctx: click.Context) -> None:
        operation, values = self._operation, dict(ctx.params)
        connection = Connection.pop_from(values)
        style, query = values.pop("output_format", None), values.pop("output_query", None)
        wide, as_document = values.pop("wide", False), values.pop("as_document", False)
        every = values.pop("every", False)
        # a flag that was not given leaves the method's own default
        arguments = operation.prepare({n: each for n, each in values.items() if each is not None})
        if as_document:
            arguments["return_metadata"] = True
        # the client's as well: an ARN may name another
        options = {
            "index": values.get("index"),
            "bucket_required": operation.on_bucket,
            "begins_file": operation.begins_file,
        }
        with open_client(connection, **options) as client:
            if operation.call is not None:
                result = operation.call(client, **arguments)
            else:
                method = operation.pager if every and operation.pager else operation.method
                result = getattr(client, method)(**arguments)
            # line by line as pages arrive: all of an index may not fit into memory
            streams = every and style == "jsonl" and query is None
            entries: Iterable[Any] = ()
            document = None
            if as_document:
                with_data = bool(arguments.get("return_data"))
                read = read_records(client, values.get("index"), result, with_data=with_data)
                entries = map(document_entry, read)
                if not streams:
                    document, entries = show_documents(result, entries), ()
            elif streams and isinstance(operation.show, Listing):
                entries = map(operation.show.entry, result)
            elif operation.show is not None:
                document = operation.show(result)
            print_lines(entries)
            if document is not None:
                print_document(document, style, query, wide=wide)
