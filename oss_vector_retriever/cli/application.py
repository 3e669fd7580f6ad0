"""The commands as click groups, each loaded when it is called."""

import importlib
import io
from collections.abc import Mapping
from typing import Any

import click

from ..version import __version__
from .arguments import CONNECTION, OUTPUT_FORMAT, OUTPUT_QUERY
from .catalogue import SECTIONS, Entry, Operation
from .connection import Connection, open_client
from .errors import INTERRUPTED, STATUSES, UNREAD, failure_of
from .interrupts import recognise_interrupts
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
        module = importlib.import_module(f"oss_vector_retriever.cli.commands.{entry.module}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        # from the catalogue: click's own way loads every command for its summary
        for title, entries in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


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


class _OperationCommand(click.Command):
    """A command that calls one method of the client and prints the result."""

    def __init__(self, name: str, summary: str, operation: Operation) -> None:
        silent = operation.show in (None, raise_failures)
        output = () if silent else (OUTPUT_FORMAT, OUTPUT_QUERY)
        super().__init__(name, params=[*operation.flags, *output, *CONNECTION], help=summary)
        self._operation = operation

    def invoke(self, ctx: click.Context) -> None:
        operation, show, values = self._operation, self._operation.show, dict(ctx.params)
        connection = Connection.pop_from(values)
        style, query = values.pop("output_format", "json"), values.pop("output_query", None)
        every = values.pop("every", False)
        method = operation.pager if every and operation.pager else operation.method
        # a flag that was not given leaves the method's own default
        arguments = operation.prepare({n: each for n, each in values.items() if each is not None})
        # the client's as well: an ARN may name another
        options = {"index": values.get("index"), "bucket_required": operation.on_bucket}
        with open_client(connection, **options) as client:
            result = getattr(client, method)(**arguments)
            if every and isinstance(show, Listing) and style == "jsonl" and query is None:
                # line by line as pages arrive: all of an index may not fit into memory
                print_lines(show.entry(item) for item in result)
            elif show is not None and (document := show(result)) is not None:
                print_document(document, style, query)
