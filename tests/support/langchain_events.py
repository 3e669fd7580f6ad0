"""Handlers of LangChain's callbacks that keep the custom events they are told of."""

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler


class Recorder(BaseCallbackHandler):
    def __init__(self):
        self.started, self.events = [], []

    def on_retriever_start(self, _serialized, _query, *, run_id, **_):
        self.started.append(run_id)

    def on_custom_event(self, name, data, *, run_id, **_):
        self.events.append((name, data, run_id))


class AsyncRecorder(AsyncCallbackHandler):
    def __init__(self):
        self.events = []

    async def on_custom_event(self, name, data, **_):
        self.events.append((name, data))
