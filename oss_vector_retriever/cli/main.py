"""The entry point of `oss-vectors`: finds the command, and ends errors in a sentence."""

from __future__ import annotations

import importlib
import sys

try:
    import click
except ModuleNotFoundError:  # pragma: no cover - the extra is always there in tests
    sys.exit('oss-vectors needs an extra: pip install "oss-vector-retriever[cli]"')

from oss_vector_retriever.version import __version__

_COMMANDS = {
    "demo": ("demo", "Show the main job on real data, with no account."),
    "get-vectors": ("get_vectors", "Fetch vectors by key."),
    "serve": ("serve", "Run the embedded service on this machine."),
}


class _Commands(click.Group):
    """Load a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(
            f"oss_vector_retriever.cli.commands.{_COMMANDS[cmd_name][0]}"
        )
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.command(cls=_Commands)
@click.version_option(__version__, prog_name="oss-vectors")
def _commands() -> None:
    """Work with Alibaba Cloud OSS Vectors, or with an embedded service that needs no account."""


def main() -> None:
    """Run the command line; errors go to stderr, with exit status 1, or 2 for a wrong use."""
    from oss_vector_retriever.client import errors  # noqa: PLC0415 - `--help` needs none of it

    try:
        _commands(prog_name="oss-vectors")
    except (errors.ConfigurationError, errors.InvalidRequestError) as error:
        _fail(error, 2)
    except errors.OSSVectorError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception, status: int) -> None:
    click.echo(f"oss-vectors: {error}", err=True)
    sys.exit(status)
