"""Errors in the command line's words, and the statuses that a command ends with."""

import os
import re
from typing import IO, TYPE_CHECKING, Any

import click

from ..lazy import missing_error
from .catalogue import FLAGS
from .rendering import echo

if TYPE_CHECKING:
    from ..client.errors import PartialWriteError, Reference

SERVICE = 1
USAGE = 2
PARTIAL = 3
INTERRUPTED = 130  # what shells report of a command that SIGINT ended
UNREAD = 141  # the same for SIGPIPE
STATUSES = {
    0: "done",
    SERVICE: "the service refused or was not reached, or `doctor` found something to fix",
    USAGE: "wrong use, or a setting or an input that cannot be used",
    PARTIAL: "done in part: lines were skipped, or some of a write failed",
    INTERRUPTED: "Ctrl-C",
    UNREAD: "nobody reads the output any more, as with `| head`",
}


class Failure(click.ClickException):
    """A sentence on stderr that ends the command with an exit status."""

    def __init__(self, message: str, status: int = SERVICE) -> None:
        super().__init__(hide_secrets(message))
        self.exit_code = status  # type: ignore[misc]  # for the class in click's own typing

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it, without a traceback."""
        text = f"oss-vectors: {self.message}"
        if file is None:
            echo(text, err=True)
        else:
            click.echo(text, file=file)


def hide_secrets(text: str) -> str:
    """Return a text without secrets that stand in the environment under another setting's name.

    A message quotes a setting that cannot be used, and lines of a profile are easily mixed up. A
    setting that looks like a key, a token or an address with a password is not shown at all.
    """
    for name, value in os.environ.items():
        too_long = len(value) > _LONGEST.get(name, len(value))
        is_setting = name.startswith("OSS_") or name.lower().endswith("_proxy")
        if not is_setting or not (too_long or _SECRET.fullmatch(value)):
            continue
        # errors show long values in part, and hosts in small letters
        start = re.escape(value[:_TELLING])
        hidden = f"*** ({name}, {len(value)} characters)"
        for shown in (re.escape(value), re.escape(repr(value)[1:-1]), rf"{start}[^\s'\",;)]*"):
            text = re.sub(shown, lambda _, said=hidden: said, text, flags=re.IGNORECASE)  # type: ignore[misc]
    return text


_LONGEST = {"OSS_REGION": 24, "OSS_ACCOUNT_ID": 24}  # characters; real ones have 9 to 16
_TELLING = 16  # characters of a secret that stand for it where it is cut
# A secret of 30 letters and digits, an access key id, a token, a password in an address; no name of
# a region, bucket or index is longer than 63, and what is longer in an address has dots. An ARN may
# be longer, and is no secret.
_SECRET = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9]{30}|(?:LTAI|STS\.|TMP\.)[A-Za-z0-9]{12,}"
    r"|(?!acs:ossvector:[a-z0-9-]+:[0-9]+:[A-Za-z0-9/-]+\Z)[^.]{64,}|.*://.*@.*",
    re.DOTALL,
)


def failure_of(error: Exception) -> Failure | None:
    """Return what the command line says of an error; None for one that nobody foresaw."""
    from ..client import errors  # noqa: PLC0415 - `--help` needs none of it

    if isinstance(error, errors.ConfigurationError | errors.InvalidRequestError):
        text, flag = error.render(word), FLAGS.get(error.argument or "")
        # what is wrong inside a value, such as one vector of many, does not name the argument
        return Failure(text if flag is None or flag in text else f"{flag}: {text}", USAGE)
    if isinstance(error, errors.PartialWriteError):
        return _partial_failure(error)
    if isinstance(error, errors.OSSVectorError):
        return Failure(error.render(word))
    if isinstance(error, OSError):
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        return Failure(text or str(error), USAGE if isinstance(error, _WRONG_FILE) else SERVICE)
    if isinstance(error, ImportError) and error.name in _EXTRAS:
        if isinstance(error, ModuleNotFoundError):
            error = missing_error(error, "this", _EXTRAS[error.name])
        return Failure(str(error), USAGE)
    return None


# the others, such as a full disk, are no wrong use
_WRONG_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# modules that a command loads when it needs them, and the extra that brings each
_EXTRAS: dict[str, str | None] = {
    "filelock": "cli",
    "h11": "emulator",
    "jinja2": "studio",
    "jmespath": "cli",
    "mcp": "mcp",
    "numpy": None,  # several bring it, none of which the command is about
    "pyarrow": "parquet",
    "rich": "cli",
    "starlette": "studio",
    "uvicorn": "emulator",
    "yaml": "cli",
}


def word(reference: "Reference") -> str:
    """Return the command line's word for what an error names."""
    name, setting = reference.name, reference.setting
    if reference.kind == "argument":
        flag = FLAGS.get(name) or _NOT_FLAGS.get(name) or name.replace("_", " ")
        value = setting.strip('"')
        return flag if value in ("", "True") else f"{flag} {value}"
    if reference.kind == "method":
        command = f"oss-vectors {name.replace('_', '-')}"
        # the only argument that advice names, and what its command asks for beside it
        metric = f"{FLAGS['distance_metric']} cosine|euclidean"
        return f"{command} {FLAGS[setting]} N {metric}" if setting else command
    if reference.kind == "type":
        return _TYPES.get(name, "value")
    if reference.kind == "phrase":
        return _PHRASES.get(name, reference.python)
    return name  # of a value, which is JSON


# secrets have no flags: other users see a process's words
_NOT_FLAGS = {
    "access_key_id": "OSS_ACCESS_KEY_ID",
    "access_key_secret": "OSS_ACCESS_KEY_SECRET",
    "security_token": "OSS_SESSION_TOKEN",
    "max_reply_bytes": "what is read of a reply",
}
# what is given on the command line is JSON
_TYPES = {
    "NoneType": "null",
    "bool": "boolean",
    "dict": "object",
    "float": "number",
    "int": "number",
    "list": "array",
    "str": "string",
}
# where Python's way out has none of the same name here
_PHRASES = {
    "credential_chain": (
        "python -c 'from alibabacloud_credentials.client import Client; Client().get_credential()'"
    ),
    "some_credentials": "--credentials chain (profiles, RAM roles and OIDC)",
    "fewer_requests": "--rate-limit and --max-concurrency",
    "higher_top_k": "a Python program that says so",
    "index_name": "--index-name",
    "mapping": "an object",
    "no_proxy": "NO_PROXY",
    "proxy_sources": "HTTPS_PROXY and the like",
    "renewing_credentials": "--credentials chain",
    "text": "a string",
    "vector_or_mapping": "an object",
    "unwritable": "it is not UTF-8, or nested too deep",
}


def _partial_failure(error: "PartialWriteError") -> Failure:
    report = error.report
    first = next(batch.error for batch in report.batches if batch.error is not None)
    failed = len(report.failed)
    text = f"{failed:,} of {failed + len(report.written):,} keys failed"
    return Failure(f"{text}, {report.failed[0]!r} first: {first.render(word)}", PARTIAL)
