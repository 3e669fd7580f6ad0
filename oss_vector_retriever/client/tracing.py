"""Spans of OpenTelemetry: one for each API call, whose parent is the fetch that it serves.

This is loaded once the process collects spans (`Context.begin_span`). Names and attributes are
those of the stable conventions for databases:
https://opentelemetry.io/docs/specs/semconv/database/database-spans/. No key of a vector, no
metadata and no text of an error is in a span.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from ..version import __version__
from .config import ClientConfig
from .errors import ServiceError, identify
from .steps import Flow

T = TypeVar("T")

_SYSTEM = "alibabacloud.oss_vectors"  # the conventions list no name for it
_PORTS = {"https": 443, "http": 80}
FETCH = "fetch"


class _Context(Protocol):
    # what is used of a client's context, which imports this
    @property
    def config(self) -> ClientConfig: ...

    def warn_of_collector(self, error: Exception) -> None: ...


class CallSpan:
    """The span of an API call, or of a fetch over some."""

    def __init__(
        self,
        context: _Context,
        operation: str,
        index: str | None,
        key_count: int,
        parents: Sequence["CallSpan"] = (),
    ) -> None:
        """Begin a span under the first of its parents, with links to the others.

        Without any it is under what the caller is in the midst of.
        """
        self._context = context
        above = trace.set_span_in_context(parents[0].span) if parents else None
        self.span: trace.Span = trace.get_tracer("oss_vector_retriever", __version__).start_span(
            f"{operation} {index}" if index else operation,
            context=above,
            # a fetch sends nothing itself
            kind=trace.SpanKind.INTERNAL if operation == FETCH else trace.SpanKind.CLIENT,
            attributes=_attributes(context.config, operation, index, key_count),
            links=[trace.Link(parent.span.get_span_context()) for parent in parents[1:]],
        )

    def run_under(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow, and end the span with it."""
        try:
            result = yield from flow
        except BaseException as error:
            self.end(error)
            raise
        self.end(None)
        return result

    def end(
        self, error: BaseException | None, attributes: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """End the span, with what is known of the call at its end."""
        try:
            self._end(error, attributes)
        except Exception as failure:  # noqa: BLE001 - of the user's collector, which harms no call
            self._context.warn_of_collector(failure)

    def _end(
        self, error: BaseException | None, attributes: Mapping[str, AttributeValue] | None
    ) -> None:
        self.span.set_attributes(attributes or {})
        if error is not None:
            word = "cancelled" if isinstance(error, GeneratorExit) else identify(error)
            self.span.set_attribute("error.type", word)
            if isinstance(error, ServiceError):
                self.span.set_attribute("db.response.status_code", word)
            # not the error's text, which may name keys
            self.span.set_status(trace.Status(trace.StatusCode.ERROR, word))
        self.span.end()


def _attributes(
    config: ClientConfig, operation: str, index: str | None, key_count: int
) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "db.system.name": _SYSTEM,
        "db.operation.name": operation,
        "server.address": config.endpoint.host,
        "server.port": config.endpoint.port or _PORTS[config.endpoint.scheme],
    }
    if config.bucket:
        found["db.namespace"] = config.bucket
    if index:
        found["db.collection.name"] = index
    if key_count > 1:  # by the conventions a batch of one is none
        found["db.operation.batch.size"] = key_count
    return found
