"""A service and its client on one clock that only waiting moves: what lags is measured exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.recording.probe import Probe
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.context import Clock, Context
from oss_vector_retriever.client.local import LocalService
from oss_vector_retriever.client.steps import Begin, Call, RunAll, Running, Send, Sleep
from support.embedded import settings


class MovedClock:
    """Tell a time that moves when somebody waits."""

    def __init__(self):
        self.began = self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now

    def monotonic(self):
        return (self.now - self.began).total_seconds()

    def sleep(self, seconds):
        self.now += timedelta(seconds=seconds)


class SteppedClient(OSSVectorClient):
    """Run flows one step after another, in the caller's thread, on the clock of its context."""

    def run(self, flow, /, *arguments, **keywords):
        return self._drive(flow(self._context, *arguments, **keywords))

    def _drive(self, flow):
        running = Running(flow)
        while running.step is not None:
            try:
                outcome = self._do(running.step)
            except Exception as error:  # noqa: BLE001 - the flow decides
                running.throw(error)
            else:
                running.tell(outcome)
        return running.result

    def _do(self, step):
        match step:
            case Send(request):
                return self._local.service.respond(request).arrive()
            case Sleep(seconds):
                return self._context.monotonic.__self__.sleep(seconds)
            case RunAll(flows):
                return [self._drive(flow) for flow in flows]
            case Call(function):
                return function()
            case Begin(inquiry):
                return inquiry.run()
        raise AssertionError(f"not a step: {step!r}")


def stepped_client(service, clock, **options):
    """Return a client of a service; both have the clock."""
    config = resolve_config(**settings("http://localhost") | options)
    context = Context(config, monotonic=clock.monotonic, clock=Clock(clock))
    return SteppedClient._on_context(context, LocalService(service))


def probe_of(service, clock, patience=60.0, **options):
    """Return a probe of a service on its clock."""
    client = stepped_client(service, clock, **options)
    return Probe(client, patience, clock.sleep, clock.monotonic)


def open_service(clock, behaviour, **options):
    """Return a service on a clock, with the development bucket."""
    service = emulator.Service.in_memory(clock=clock, behaviour=behaviour, **options)
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    return service
