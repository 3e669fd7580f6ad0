"""Values of flags: on the command line, in a file (`file://PATH`), or on standard input (`-`)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_FILE = "file://"
_STDIN = "-"
_ELSEWHERE = "a file is named by file://PATH, standard input by -"


def json_of(*kinds: type, said: str) -> Callable[[Any], Any]:
    """Return a flag's type: JSON of some Python types, which a message names as `said`."""

    def read(value: Any) -> Any:
        return _checked(_parsed(_text(value)), kinds, said) if isinstance(value, str) else value

    return read


def _parsed(text: str) -> Any:
    from oss_vector_retriever.client.wire import parse_json  # noqa: PLC0415 - not for `--help`

    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise click.BadParameter(f"it is not JSON: {error} ({_ELSEWHERE}).") from None


def _checked(value: Any, kinds: tuple[type, ...], said: str) -> Any:
    if not isinstance(value, kinds):
        names: dict[type, str] = {dict: "an object", list: "an array", str: "a string"}
        found = names.get(type(value), "a lone value")
        raise click.BadParameter(f"it must be {said}, not {found}.")
    return value


def keys(value: Any) -> Any:
    """Read keys: separated by commas, a JSON array, or from elsewhere one a line."""
    from oss_vector_retriever.client.errors import InvalidRequestError  # noqa: PLC0415 - the same
    from oss_vector_retriever.records.keys import parse_keys  # noqa: PLC0415 - the same

    if not isinstance(value, str):
        return value
    if not _is_elsewhere(value) and not value.lstrip().startswith("["):
        return [key for key in value.split(",") if key]
    try:
        return parse_keys(_text(value))
    except InvalidRequestError as error:
        raise click.BadParameter(str(error)) from None


def names(value: Any) -> Any:
    """Read names separated by commas."""
    return [name for name in value.split(",") if name] if isinstance(value, str) else value


def query(value: Any) -> Any:
    """Compile a JMESPath expression, so that a wrong one is refused before any call."""
    if not isinstance(value, str):
        return value
    jmespath = importlib.import_module("jmespath")
    try:
        return jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as error:
        said = " ".join(str(error).split())
        raise click.BadParameter(f"it is no JMESPath expression: {said}") from None


def _is_elsewhere(value: str) -> bool:
    return value == _STDIN or value.startswith(_FILE)


def _text(value: str) -> str:
    """Return the text that a value is, or says where to find."""
    try:
        if value == _STDIN:
            return sys.stdin.read()
        if value.startswith(_FILE):
            return Path(value.removeprefix(_FILE)).expanduser().read_text("utf-8-sig")
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value} is not UTF-8.") from None
    return value
