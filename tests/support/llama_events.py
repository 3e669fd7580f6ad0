"""What LlamaIndex's instrumentation is told."""

from contextlib import contextmanager

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from oss_vector_retriever.llama_index import MissingKeysEvent


class Recorder(BaseEventHandler):
    events: list = []  # noqa: RUF012 - pydantic copies it for each handler

    @classmethod
    def class_name(cls):
        return "Recorder"

    def handle(self, event, **_):
        self.events.append(event)

    def missing(self):
        return [
            (event.index, event.missing)
            for event in self.events
            if isinstance(event, MissingKeysEvent)
        ]


@contextmanager
def recorded():
    """Give a recorder on the root dispatcher."""
    root = get_dispatcher()
    recorder = Recorder()
    root.add_event_handler(recorder)
    try:
        yield recorder
    finally:
        root.event_handlers.remove(recorder)
