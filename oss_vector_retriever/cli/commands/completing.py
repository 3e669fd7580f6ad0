"""`oss-vectors completion`: the script that has a shell complete commands and flags."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from ..rendering import echo

_NAME = "oss-vectors"
_VARIABLE = "_OSS_VECTORS_COMPLETE"  # as click derives it from the name
_PLACES = {
    "bash": 'eval "$(oss-vectors completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(oss-vectors completion zsh)" in ~/.zshrc, after compinit',
    "fish": "oss-vectors completion fish > ~/.config/fish/completions/oss-vectors.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_PLACES)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what has SHELL complete the commands and flags of oss-vectors."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this release of click completes nothing in {shell}.")
    completion = found(ctx.find_root().command, {}, _NAME, _VARIABLE)
    # the base class's: that for bash runs bash to ask for its release, which may not be here
    echo(ShellComplete.source(completion).strip())


command.epilog = "\b\n" + "\n".join(["For every new shell:", *_PLACES.values()])
