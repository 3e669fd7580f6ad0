"""The flags that `import` and `export` share."""

from __future__ import annotations

from pathlib import Path

import click

FORMAT = click.option(
    "--format",
    "told",
    type=click.Choice(["jsonl", "npy", "parquet"]),
    help="Format of the file; by default what its name says.",
)
LINES = click.option(
    "--lines",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keys and metadata of a .npy file, row for row; by default beside it, .jsonl.",
)
JOURNAL = click.option(
    "--journal",
    "journal_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to remember how far it got; by default beside the file.",
)
RESTART = click.option("--restart", is_flag=True, help="Begin anew, whatever was done before.")
PROGRESS = click.option(
    "--progress/--no-progress", default=None, help="Show a bar; by default on a terminal."
)
