"""Which keys an agent may touch, settled before any call, and which it may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.operations.vectors import list_vectors
from oss_vector_retriever.client.steps import Flow

_NEAR = 0.6  # difflib's own cut-off
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Access:
    """Say which keys may be asked for.

    Attributes:
        allowed: the only keys, or None for any.
        prefix: what each key begins with; empty for anything.
    """

    allowed: frozenset[str] | None = None
    prefix: str = ""

    @property
    def restricted(self) -> bool:
        """Tell whether any key is out of reach."""
        return self.allowed is not None or bool(self.prefix)

    def permits(self, key: str) -> bool:
        """Tell whether a key may be asked for and shown."""
        return key.startswith(self.prefix) and (self.allowed is None or key in self.allowed)

    def visible(self) -> tuple[str, ...]:
        """Return the keys that are known without a call, sorted; empty where any may exist."""
        return tuple(sorted(key for key in self.allowed or () if self.permits(key)))

    def known(self, context: Context, index: str | None, scan: int) -> Flow[tuple[str, ...]]:
        """Return permitted keys to suggest: those allowed, or of the first `scan` of the index.

        Args:
            context: the client's.
            index: another index than the client's own.
            scan: how many keys to list, at most; 0 makes no call.
        """
        if self.allowed is not None:
            return self.visible()
        keys: list[str] = []
        token: str | None = None
        while (left := scan - len(keys)) > 0:
            page = yield from list_vectors(
                context,
                index=index,
                max_results=min(left, context.config.limits.list_page),
                next_token=token,
            )
            keys += [vector.key for vector in page]
            token = page.next_token
            if token is None:
                break
        return tuple(key for key in keys if self.permits(key))


def near_misses(key: str, known: Iterable[str]) -> list[str]:
    """Return the known keys that a wrong key most resembles, the nearest first, at most 3.

    Letter case and the punctuation that models change are looked through; where these alone differ,
    nothing else is returned.
    """
    plain: dict[str, str] = {}
    for other in known:
        if other != key:  # which may be allowed, and does not exist
            plain.setdefault(_plain(other), other)
    meant = _plain(key)
    found = [meant] if meant in plain else difflib.get_close_matches(meant, plain, _SHOWN, _NEAR)
    return [plain[name] for name in found]


def _plain(key: str) -> str:
    return "".join(letter for letter in key.casefold() if letter.isalnum()) or key
