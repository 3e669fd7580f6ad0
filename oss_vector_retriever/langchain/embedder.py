"""A user's embedding model, called both ways and never on the event loop."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings

from ..client.errors import ConfigurationError, InvalidRequestError


class Embedder:
    """A store's embedding model, or a plain word that there is none.

    A model whose async methods are its own is awaited; of one that only blocks, the blocking
    methods run in a thread. It need not be of langchain-core's class, as for core's own stores.
    """

    def __init__(self, model: Embeddings | None) -> None:
        if model is not None and not _can_embed(model):
            raise ConfigurationError(
                "embedding must be a langchain_core.embeddings.Embeddings, not "
                f"{type(model).__name__}; a client is given as client=."
            )
        self.model = model

    def embed_query(self, text: str) -> list[float]:
        """Return the embedding of a query."""
        return self._model_or_raise().embed_query(text)  # many models embed documents otherwise

    async def aembed_query(self, text: str) -> list[float]:
        """Return the embedding of a query."""
        made: list[float] = await _embed(self._model_or_raise(), "embed_query", text)
        return made

    def embed_documents(self, texts: list[str], batch_size: int | None) -> list[list[float]]:
        """Return the embedding of each text, `batch_size` texts a call of the model."""
        embeddings: list[list[float]] = []
        for batch in _batches(texts, batch_size):
            embeddings += self._check_count(batch, self._model_or_raise().embed_documents(batch))
        return embeddings

    async def aembed_documents(self, texts: list[str], batch_size: int | None) -> list[list[float]]:
        """Return the embedding of each text, `batch_size` texts a call of the model."""
        embeddings: list[list[float]] = []
        for batch in _batches(texts, batch_size):
            made = await _embed(self._model_or_raise(), "embed_documents", batch)
            embeddings += self._check_count(batch, made)
        return embeddings

    def _check_count(self, texts: list[str], made: Any) -> list[list[float]]:
        # counted batch by batch: one too many and one too few would pair texts with wrong vectors
        count = len(made) if hasattr(made, "__len__") else None
        if count != len(texts):  # a generator has no length, and is no list of embeddings either
            given = type(made).__name__ if count is None else f"{count} embeddings"
            raise InvalidRequestError(
                f"the embedding model {type(self.model).__name__} returned {given} for "
                f"{len(texts)} texts; one for each is needed. Nothing was written."
            )
        return list(made)

    def _model_or_raise(self) -> Embeddings:
        if self.model is None:
            raise ConfigurationError(
                "this store has no embedding model: pass embedding= when it is made, or use the "
                "methods that take vectors, ids or embeddings=."
            )
        return self.model


def _can_embed(model: object) -> bool:
    methods = [getattr(model, name, None) for name in ("embed_query", "embed_documents")]
    return isinstance(model, Embeddings) or (
        all(map(callable, methods)) and not isinstance(model, type)
    )


async def _embed(model: Embeddings, method: str, given: Any) -> Any:
    if (awaited := getattr(model, f"a{method}", None)) is not None:
        return await awaited(given)
    return await asyncio.to_thread(getattr(model, method), given)


def _batches(texts: Sequence[str], size: int | None) -> Iterator[list[str]]:
    if size is not None and (type(size) is not int or size < 1):
        raise InvalidRequestError(f"batch_size must be a whole number above 0, not {size!r}.")
    step = size or max(len(texts), 1)
    return (list(texts[start : start + step]) for start in range(0, len(texts), step))


QueryEmbedding = Embeddings | Callable[[str], Sequence[float] | Awaitable[Sequence[float]]]


def query_vector(source: QueryEmbedding, query: str) -> Any:
    """Return the embedding of a query.

    Raises:
        InvalidRequestError: the function that makes it is for async calls alone.
    """
    if isinstance(source, Embeddings):
        return source.embed_query(query)
    if inspect.iscoroutinefunction(source):
        raise InvalidRequestError(
            "embedding is a coroutine function, which serves async calls alone; pass a plain "
            "function or an Embeddings, or use the async method."
        )
    return source(query)


async def aquery_vector(source: QueryEmbedding, query: str) -> Any:
    """Return the embedding of a query; a plain function runs in a thread."""
    if isinstance(source, Embeddings):
        return await source.aembed_query(query)
    if inspect.iscoroutinefunction(source):
        return await source(query)
    # it may compute, or call a model over the network: never on the event loop
    made = await asyncio.to_thread(source, query)
    return await made if inspect.isawaitable(made) else made
