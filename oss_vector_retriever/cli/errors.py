"""Errors as the command line says them, and the exit statuses."""

from __future__ import annotations

import re
from typing import IO, Any

import click

SERVICE = 1
USAGE = 2
PARTIAL = 3
INTERRUPTED = 130
UNREAD = 141
STATUSES = {
    0: "done",
    SERVICE: "the service refused or was not reached, or `doctor` found something to mend",
    USAGE: "wrong use, or a setting or an input that cannot be used",
    PARTIAL: "done in part: lines were skipped, or some of a write failed",
    INTERRUPTED: "Ctrl-C",
    UNREAD: "nobody reads the output any more, as with `| head`",
}

_ARGUMENTS = {
    "bucket": "--bucket",
    "account_id": "--account-id",
    "region": "--region",
    "endpoint": "--endpoint",
    "index": "--index-name",
    "internal": "--internal",
    "allow_http": "--allow-http",
    "credentials": "--credentials",
}
_EXTRAS = {
    "jmespath": "cli",
    "numpy": "emulator",
    "pyarrow": "parquet",
    "rich": "cli",
    "uvicorn": "emulator",
}
_WRONG_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_ARGUMENT = re.compile(rf"\b({'|'.join(_ARGUMENTS)})=(?:True\b|\"(\w+)\"|)")
_METHOD = re.compile(r"client\.(\w+)\((?:(\w+)=[^)]*)?\)")
_CHOICES = re.compile(
    r"credentials= \(Credentials\(\.\.\.\), a callable, or \"chain\" for ([^)]*)\)"
)


class Failure(click.ClickException):
    """End the command with a sentence on stderr and an exit status."""

    def __init__(self, message: str, status: int = SERVICE) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # for the class in click's own typing

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, without a traceback."""
        click.echo(f"oss-vectors: {self.message}", file=file, err=file is None)


class Ended(Exception):  # noqa: N818 - an end, no error
    """End the command with nothing more to say."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def failure_of(error: Exception) -> Failure | None:
    """Return what the command line says of an error; None for one that nobody foresaw."""
    from oss_vector_retriever.client import errors  # noqa: PLC0415 - `--help` needs none of it

    if isinstance(error, errors.ConfigurationError | errors.InvalidRequestError):
        return Failure(in_flags(str(error)), USAGE)
    if isinstance(error, errors.OSSVectorError):
        return Failure(in_flags(str(error)))
    if isinstance(error, OSError):
        said = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        return Failure(said or str(error), USAGE if isinstance(error, _WRONG_FILE) else SERVICE)
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        extra = _EXTRAS[error.name]
        return Failure(
            f'this needs {error.name}: pip install "oss-vector-retriever[{extra}]"', USAGE
        )
    return None


def in_flags(message: str) -> str:
    """Return a message with Python's arguments and methods as flags and commands.

    'pass bucket= or ...' becomes 'pass --bucket or ...'.
    """
    message = _CHOICES.sub(r"--credentials chain (\1)", message)
    message = _METHOD.sub(_as_command, message)
    return _ARGUMENT.sub(_as_flag, message)


def _as_flag(match: re.Match[str]) -> str:
    flag = _ARGUMENTS[match[1]]
    return f"{flag} {match[2]}" if match[2] else flag


def _as_command(match: re.Match[str]) -> str:
    command = f"oss-vectors {match[1].replace('_', '-')}"
    return f"{command} --{match[2].replace('_', '-')} N" if match[2] else command
