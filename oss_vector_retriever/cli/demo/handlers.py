"""What listens to LlamaIndex's instrumentation during the demonstration."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler

from oss_vector_retriever.llama_index import MissingKeysEvent


class MissingKeysHandler(BaseEventHandler):
    """Remember the keys that were missing."""

    missing: list[str] = []  # noqa: RUF012 - a pydantic field, copied for each handler

    @classmethod
    def class_name(cls) -> str:
        """Return the handler's stable name."""
        return "OSSVectorsMissingKeysHandler"

    def handle(self, event: Any, **_: Any) -> None:
        """Take the keys of our own event."""
        if isinstance(event, MissingKeysEvent):
            self.missing = event.missing
