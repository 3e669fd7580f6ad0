"""The commands as one click group, each loaded when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from oss_vector_retriever.cli.catalogue import SECTIONS, Entry
from oss_vector_retriever.cli.errors import INTERRUPTED, STATUSES, UNREAD, Ended, failure_of
from oss_vector_retriever.cli.interrupts import recognised
from oss_vector_retriever.version import __version__

_ENTRIES = {entry.name: entry for entries in SECTIONS.values() for entry in entries}


class _Commands(click.Group):
    """List commands by section, load the one that is called, and end errors in a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        entry = _ENTRIES.get(cmd_name)
        return None if entry is None else _load(entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), said) for status, said in STATUSES.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with recognised():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Ended(INTERRUPTED) from None
        except BrokenPipeError:
            raise Ended(UNREAD) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, Ended):
            raise
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from None


def _load(entry: Entry) -> click.Command:
    if entry.operation is not None:
        from oss_vector_retriever.cli.options import build  # noqa: PLC0415 - not for `--help`

        return build(entry.name, entry.summary, entry.operation)
    module = importlib.import_module(f"oss_vector_retriever.cli.commands.{entry.module}")
    command: click.Command = module.command
    return command


@click.command(cls=_Commands)
@click.version_option(__version__, prog_name="oss-vectors")
def commands() -> None:
    """Work with Alibaba Cloud OSS Vectors, or with an embedded service that needs no account."""


def run(words: list[str]) -> int:
    """Run the command that some words name and return the exit status."""
    try:
        return commands.main(words, "oss-vectors", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Ended as end:
        return end.status
    except click.Abort:
        return INTERRUPTED
