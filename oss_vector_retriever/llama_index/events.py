"""What the adapters tell LlamaIndex's instrumentation."""

from __future__ import annotations

from llama_index.core.instrumentation.events.base import BaseEvent


class MissingKeysEvent(BaseEvent):
    """Say which of the keys asked for do not exist in an index."""

    index: str | None
    missing: list[str]

    @classmethod
    def class_name(cls) -> str:
        """Return the event's stable name."""
        return "OSSVectorsMissingKeysEvent"
