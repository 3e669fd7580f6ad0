"""Pagers: every item of a list, page by page, as plain and as async iteration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.methods import Blocking, Described, Nonblocking
from oss_vector_retriever.client.steps import Flow

P = ParamSpec("P")
Item = TypeVar("Item")


class Pager(Described, Generic[P, Item]):
    """Be a method that yields what the pages of a list operation hold.

    Args:
        operation: returns one page, a sequence.
        argument: its argument that takes the token of the next page.
        attribute: the attribute of a page that holds that token, None on the last.
    """

    def __init__(
        self,
        operation: Callable[Concatenate[Context, P], Flow[Sequence[Item]]],
        argument: str = "next_token",
        attribute: str = "next_token",
    ) -> None:
        super().__init__(operation)
        self._argument = argument
        self._attribute = attribute

    @overload
    def __get__(self, client: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, Iterator[Item]]: ...
    @overload
    def __get__(self, client: Nonblocking, owner: type) -> Callable[P, AsyncIterator[Item]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        """Return the pager bound to a client, in that client's manner."""
        return self.bind(client, owner)

    def make(self, awaited: bool) -> Callable[..., Any]:
        """Return the function that becomes the method."""
        return self._on_a_loop() if awaited else self._blocking()

    def _page(self, arguments: dict[str, Any]) -> Callable[[Context], Flow[Any]]:
        return lambda context: self._function(context, **arguments)

    def _next(self, arguments: dict[str, Any], page: Any) -> dict[str, Any] | None:
        token = getattr(page, self._attribute)
        return {**arguments, self._argument: token} if token else None

    def _blocking(self) -> Callable[..., Iterator[Any]]:
        def pages(client: Blocking, **arguments: Any) -> Iterator[Any]:
            rest: dict[str, Any] | None = arguments
            while rest is not None:
                page = client.run_flow(self._page(rest))
                yield from page
                rest = self._next(rest, page)

        return pages

    def _on_a_loop(self) -> Callable[..., AsyncIterator[Any]]:
        async def pages(client: Nonblocking, **arguments: Any) -> AsyncIterator[Any]:
            rest: dict[str, Any] | None = arguments
            while rest is not None:
                page = await client.run_flow(self._page(rest))
                for item in page:
                    yield item
                rest = self._next(rest, page)

        return pages
