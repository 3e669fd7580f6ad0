"""What an agent is told: ids, texts and metadata, within a budget of tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode

from oss_vector_retriever.client.errors import InvalidRequestError, OSSVectorError, shown
from oss_vector_retriever.records import parse_keys

Tokenizer = Callable[[str], Sequence[Any]]

_BYTES = 4  # of one token, roughly; more bytes than that make one in most models
_BETWEEN = 3  # tokens: blank lines and the mark of what is cut
_MOST_NAMED = 20
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Budget:
    """Say how long an answer may be.

    Attributes:
        tokens: how many tokens.
        tokenizer: splits a text into tokens; None counts four bytes as one.
    """

    tokens: int
    tokenizer: Tokenizer | None = None

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""
        if self.tokenizer is not None:
            return len(self.tokenizer(text))
        return -(-len(text.encode("utf-8", "replace")) // _BYTES)

    def cut(self, text: str, tokens: int) -> str:
        """Return as much of a text as some tokens hold."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.count(text[:middle]) <= tokens:
                low = middle
            else:
                high = middle - 1
        return text[:low]


def ids_of(ids: object) -> list[str]:
    """Return the ids that a model meant: a list, one id, a JSON array, one id a line.

    Raises:
        InvalidRequestError: it is none of these.
    """
    if isinstance(ids, str):
        return list(dict.fromkeys(parse_keys(ids)))
    if not isinstance(ids, list | tuple):
        raise InvalidRequestError(f"ids must be a list of strings, not {type(ids).__name__}")
    return list(dict.fromkeys(str(one) for one in ids if str(one)))


def hops_of(name: str, count: Any, most: int) -> int:
    """Return how many neighbours a model meant, from 0 to `most`.

    Raises:
        InvalidRequestError: it is no number.
    """
    try:
        return max(0, min(int(count), most))
    except (TypeError, ValueError, OverflowError):
        message = f"{name} must be a whole number, not {shown(count)}"
        raise InvalidRequestError(message) from None


def texts_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Return what an answer says of each node: id and text, without metadata."""
    return [f"[{node.node_id}]\n{node.get_content(MetadataMode.NONE)}" for node in nodes]


def metadata_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Return what an answer says of each node: id and the metadata that models may see."""
    return [f"[{node.node_id}]\n{_visible(node)}" for node in nodes]


def report(
    parts: list[str],
    missing: Mapping[str, Sequence[str]],
    refused: list[str],
    budget: Budget,
) -> str:
    """Return an answer within a budget: parts, as many as fit, and what is not among them.

    What was not found is said first of all: it must not fall to the budget.

    Args:
        parts: what was found.
        missing: ids that do not exist, with those that they may have been meant for.
        refused: ids that were too many.
        budget: how long the answer may be.
    """
    notes = []
    if missing:
        notes.append(f"Not found: {_named([_with_near(*one) for one in missing.items()])}")
    if refused:
        notes.append(f"Too many ids at once; ask again for: {_named(refused)}")
    if not parts and not notes:
        notes.append("No ids were given.")
    whole = _joined([*notes, *parts])
    if not parts or budget.count(whole) <= budget.tokens:
        return whole
    return _cut(notes, parts, budget)


def _cut(notes: list[str], parts: list[str], budget: Budget) -> str:
    many = len(parts)
    longest = _joined([*notes, _told(budget, many, many)])
    left = budget.tokens - budget.count(longest) - _BETWEEN
    kept = budget.cut(_joined(parts), max(left, 0))
    rest = sum(len(_joined(parts[: place + 1])) > len(kept) for place in range(many))
    told = _told(budget, rest, many)
    return _joined([*notes, told, *([f"{kept}..."] if kept else [])])


def _told(budget: Budget, rest: int, many: int) -> str:
    return f"Cut to {budget.tokens} tokens; not whole: {rest} of {many}."


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts)


def failure(error: OSSVectorError) -> str:
    """Return what an answer says of a failure."""
    return f"Error: nothing could be fetched. {type(error).__name__}: {str(error)[:_LONGEST]}"


def _visible(node: BaseNode) -> str:
    hidden = set(node.excluded_llm_metadata_keys)
    seen = {name: value for name, value in node.metadata.items() if name not in hidden}
    return json.dumps(seen, ensure_ascii=False, default=str)


def _with_near(key: str, near: Sequence[str]) -> str:
    named = key if len(key) <= _LONGEST else f"{key[:_LONGEST]}..."
    return f"{named} (did you mean {' or '.join(near)}?)" if near else named


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return ", ".join(keys[:_MOST_NAMED]) + more
