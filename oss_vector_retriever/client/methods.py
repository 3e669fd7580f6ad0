"""From one function on flows to a method of both clients: signature and documentation once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow

P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Protocol):
    """Be a client whose methods return results."""

    def run(self, start: Callable[[Context], Flow[T]], /) -> T:
        """Run a flow that is made for this client's context."""


class Nonblocking(Protocol):
    """Be a client whose methods are coroutine functions."""

    async def run(self, start: Callable[[Context], Flow[T]], /) -> T:
        """Run a flow that is made for this client's context."""
        raise NotImplementedError


class Described:
    """Be an attribute of both clients that is made, for each, from one function on flows."""

    def __init__(self, function: Callable[..., Flow[Any]]) -> None:
        self._function = function
        self._made: dict[type, Any] = {}
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def bind(self, client: Any, owner: Any) -> Any:
        """Return the method of a client, or of the class where there is no client."""
        method = self._made.get(owner)
        if method is None:
            awaited = inspect.iscoroutinefunction(owner.run)
            method = _described(self.make(awaited), self._function, self._name, owner)
            self._made[owner] = method
        return method if client is None else method.__get__(client, owner)

    def make(self, awaited: bool) -> Callable[..., Any]:
        """Return the function that becomes the method."""
        raise NotImplementedError


class Method(Described, Generic[P, T]):
    """Be a method of the sync and of the async client, made from one function.

    The function takes the client's context first and returns a flow. On the sync client the method
    returns the flow's result, on the async client it is a coroutine function of the same.
    """

    def __init__(self, function: Callable[Concatenate[Context, P], Flow[T]]) -> None:
        super().__init__(function)

    def make(self, awaited: bool) -> Callable[..., Any]:
        """Return the function that becomes the method."""
        return _awaiting(self._function) if awaited else _waiting(self._function)

    @overload
    def __get__(self, client: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Nonblocking, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        """Return the method bound to a client, in that client's manner."""
        return self.bind(client, owner)


def _waiting(function: Callable[..., Flow[Any]]) -> Callable[..., Any]:
    def method(client: Any, *args: Any, **kwargs: Any) -> Any:
        return client.run(function, *args, **kwargs)

    return method


def _awaiting(function: Callable[..., Flow[Any]]) -> Callable[..., Any]:
    async def method(client: Any, *args: Any, **kwargs: Any) -> Any:
        return await client.run(function, *args, **kwargs)

    return method


def _described(method: Any, function: Callable[..., Any], name: str, owner: type) -> Any:
    functools.update_wrapper(method, function, assigned=("__doc__", "__module__"))
    method.__name__ = name
    method.__qualname__ = f"{owner.__qualname__}.{name}"
    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    method.__signature__ = signature.replace(
        parameters=[first.replace(name="self", annotation=first.empty), *others],
        return_annotation=_result_of(signature.return_annotation),
    )
    del method.__wrapped__
    return method


def _result_of(annotation: object) -> object:
    """Return what a flow results in, for the reader of a signature."""
    flow = isinstance(annotation, str) and annotation.startswith("Flow[")
    return str(annotation)[len("Flow[") : -1] if flow else annotation


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
                page = client.run(self._page(rest))
                yield from page
                rest = self._next(rest, page)

        return pages

    def _on_a_loop(self) -> Callable[..., AsyncIterator[Any]]:
        async def pages(client: Nonblocking, **arguments: Any) -> AsyncIterator[Any]:
            rest: dict[str, Any] | None = arguments
            while rest is not None:
                page = await client.run(self._page(rest))
                for item in page:
                    yield item
                rest = self._next(rest, page)

        return pages
