"""Values that may be secrets, on their way from a user to where they are checked or used.

An error carries the frames that it has passed, and collectors of errors print what has a name in
them. So what may be a secret is hidden at the door, before anything can fail.
"""

from collections.abc import Callable
from typing import Any, NoReturn


class Hidden:
    """A value on its way to where it is checked; no frame that it passes shows it."""

    __slots__ = ("reveal",)

    def __init__(self, value: Any) -> None:
        self.reveal: Callable[[], Any]
        self.reveal = lambda: value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and bool(self.reveal() == other.reveal())

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("what is hidden is not pickled")


def hide_address(address: Any) -> Any:
    """Return an endpoint or proxy, hidden where it has what is no address: userinfo, a query."""
    more = isinstance(address, str) and any(sign in address for sign in "@?#")
    return Hidden(address) if more else address


def reveal(value: Any) -> Any:
    """Return a value that may have been hidden."""
    return value.reveal() if isinstance(value, Hidden) else value
