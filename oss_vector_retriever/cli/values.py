"""Types of the flags' values, which are taken as ossutil takes them.

JSON in the API's form or names, with a file or standard input in their place.
"""

import importlib
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import click

_FILE = "file://"
_STDIN = "-"
_LONGEST = 128 * 1024 * 1024  # characters; a device or a pipe may never end, and memory does


class Json(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A value in JSON: on the command line, in `file://PATH`, or on standard input for `-`.

    With `as_text` it is checked, and handed on as the bytes that were given.
    """

    name = "json"

    def __init__(self, *kinds: type, as_text: bool = False) -> None:
        self._kinds = kinds
        self._as_text = as_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; one of another kind than the flag takes is refused."""
        if not isinstance(value, str):  # click converts defaults, and what is converted already
            return value
        from ..client.wire import parse_json  # noqa: PLC0415 - not for `--help`

        # bytes of the command line that are no UTF-8 come as surrogates; the parser names them
        text = _text_of(value).encode("utf-8", "surrogatepass")
        try:
            found = parse_json(text)
        except ValueError as error:
            elsewhere = "a file is named by file://PATH, standard input by -"
            self.fail(f"it is not JSON: {error} ({elsewhere}).", param, ctx)
        if not isinstance(found, self._kinds):
            allowed = " or ".join(_KINDS[kind] for kind in self._kinds)
            self.fail(f"it must be {allowed}, not {_KINDS.get(type(found), 'a lone value')}.")
        return text if self._as_text else found


_KINDS: dict[type, str] = {dict: "an object", list: "an array", str: "a string"}


class Tags(click.ParamType):  # type: ignore[type-arg]  # as above
    """Tags as a query has them, each once, as ossutil takes them."""

    name = "tags"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the tags as a mapping; a name that stands twice is refused."""
        if not isinstance(value, str):
            return value
        try:
            pairs = parse_qsl(value, keep_blank_values=True, strict_parsing=True)
        except ValueError:
            pairs = []
        if not pairs or len(dict(pairs)) < len(pairs):
            self.fail(
                "it must be names and values as in the query of a URL, each name once.", param, ctx
            )
        return dict(pairs)


class Number(click.types.FloatParamType):
    """A number; click's own refusal calls it a float."""

    name = "number"


class Names(click.ParamType):  # type: ignore[type-arg]  # the same
    """Names: separated by commas, a JSON array, or one a line in a file or on standard input."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002 - click's signature
        """Return the names."""
        if not isinstance(value, str):
            return value
        from ..client.errors import InvalidRequestError  # noqa: PLC0415 - not for `--help`
        from ..records.keys import parse_keys  # noqa: PLC0415 - the same

        elsewhere = value == _STDIN or value.startswith(_FILE)
        if not elsewhere and not value.lstrip().startswith("["):
            return [name for name in value.split(",") if name]
        try:
            return parse_keys(_text_of(value))
        except InvalidRequestError as error:
            # it speaks of keys, and is worded in the flag that they, or other names, came by
            error.argument = param.name if param else None
            raise


def read_query(value: Any) -> Any:
    """Compile a JMESPath expression, so that a wrong one is refused before any call."""
    if not isinstance(value, str):
        return value
    jmespath = importlib.import_module("jmespath")
    try:
        return jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as error:
        # its message draws an arrow below the place, on lines of its own
        text = " ".join(str(error).split())
        raise click.BadParameter(f"it is no JMESPath expression: {text}") from None


def join(_: click.Context, __: click.Parameter, parts: tuple[Any, ...]) -> Any:
    """Return the values of all occurrences in one list; a lone object as it is."""
    if not parts or (len(parts) == 1 and isinstance(parts[0], dict)):
        return parts[0] if parts else None
    return [item for part in parts for item in (part if isinstance(part, list) else [part])]


def _text_of(value: str) -> str:
    """Return the text that a value is, or that is where it points."""
    try:
        if value == _STDIN:
            text = _read_stdin()
        elif value.startswith(_FILE):
            # editors on Windows put a byte order mark first, which JSON does not allow
            with Path(value.removeprefix(_FILE)).expanduser().open(encoding="utf-8-sig") as file:
                text = file.read(_LONGEST + 1)
        else:
            return value
    except OSError as error:
        reason = f"{value} cannot be read: {error.strerror}."
        raise click.BadParameter(reason) from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value} is not UTF-8.") from None
    if len(text) > _LONGEST:
        reason = f"{value} has more than {_LONGEST:,} characters; `import` reads files of any size."
        raise click.BadParameter(reason)
    return text


def _read_stdin() -> str:
    # a second reader would get nothing, and take it for an empty value
    seen = click.get_current_context().meta
    if seen.setdefault(__name__, False):
        raise click.BadParameter("standard input is read already, by another `-`.")
    seen[__name__] = True
    return sys.stdin.read(_LONGEST + 1)
