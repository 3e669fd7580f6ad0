"""What a model reads: documents with their ids, within a budget, and what is not there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.documents import Document

_LEAST = 200  # characters; less of a document than this helps nobody


@dataclass(frozen=True, slots=True)
class Budget:
    """Bound an answer, in characters; a token is about four of English, one or two of Chinese.

    Attributes:
        in_all: of text in one answer.
        per_document: of text of one document.
    """

    in_all: int
    per_document: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what an answer is made of.

    Attributes:
        documents: what was found, in order; an id that stands twice is written once.
        distances: how far each is from what was looked for, by id; smaller is closer.
        missing: ids that do not exist, with the ids that they may have been meant for.
        refused: ids that may not be asked for.
        start: characters of each document that were read before.
        nothing: what to say where there is nothing to show.
        fetch: the tool that reads on after a cut, by its name; None where the agent has none.
    """

    documents: Sequence[Document]
    distances: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refused: Sequence[str] = ()
    start: int = 0
    nothing: str = "No documents."
    fetch: str | None = None

    def written(self, budget: Budget) -> str:
        """Return the answer as text."""
        parts = [*self._shown(budget), *self._absent()]
        if self.refused:
            parts.append(f"Not available to you: {_listed(self.refused)}")
        return "\n\n".join(parts) or self.nothing

    def _shown(self, budget: Budget) -> list[str]:
        parts: list[str] = []
        unread: list[str] = []
        left = budget.in_all
        once = {document.id: document for document in self.documents}
        for key, document in once.items():
            most = min(budget.per_document, left)
            text = document.page_content[self.start : self.start + most]
            whole = self.start + len(text) >= len(document.page_content)
            if left < min(_LEAST, len(document.page_content) - self.start):
                unread.append(str(key))
                continue
            left -= len(text)
            parts.append(self._one(document, text, whole=whole))
        if unread:
            hint = f"; next call {self.fetch} for" if self.fetch else ""
            parts.append(f"Found, but not shown for want of room{hint}: {_listed(unread)}")
        return parts

    def _one(self, document: Document, text: str, *, whole: bool) -> str:
        key = str(document.id)
        far = f" distance={self.distances[key]:.3f}" if key in self.distances else ""
        part = f"[id: {key}]{far}\n{text}"
        total = len(document.page_content)
        if self.start and self.start >= total:
            return f"{part}[nothing more: the document has {total} characters]"
        if whole:
            return part
        end = self.start + len(text)
        ids = json.dumps([key], ensure_ascii=False)
        more = f"; for more call {self.fetch} with ids={ids}, start={end}" if self.fetch else ""
        return f"{part}\n[cut: characters {self.start} to {end} of {total}{more}]"

    def _absent(self) -> list[str]:
        return [
            f"No document has the id {key}."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
            for key, near in self.missing.items()
        ]


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys)
