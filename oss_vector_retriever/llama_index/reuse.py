"""`ReuseStoredEmbeddings`: ingestion that embeds what changed, and nothing else."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import BaseNode, MetadataMode, TransformComponent
from llama_index.core.settings import Settings
from pydantic import Field, PrivateAttr

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError, NoSuchVectorIndexError
from ..client.models.vector import Vector
from ..client.pair import context_of
from ..client.recent import count_writes
from ..records import Record
from ..records.keys import is_key
from ..records.lookup import fetch_records
from .component import _Fetching, call_function
from .recent_nodes import DeletedUser, content_hash, recent_nodes

Embed = Callable[..., Any]  # texts to embeddings, at once or awaited


class ReuseStoredEmbeddings(_Fetching, TransformComponent):
    """Embeddings for nodes: the stored one where the content is unchanged, else the model's.

    Stands in an `IngestionPipeline` in the place of the embedding model. A node is looked up by its
    id, and the hashes of what both nodes give to the embedding model are compared; so ids must be
    the same from run to run (a node parser's `id_func`). A node that carries an embedding keeps it.
    An index that is not there holds nothing.

    What a vector store of this process has deleted a moment ago counts as stored: a pipeline with a
    document store deletes a document that changed before it ingests it again. Of nodes that are
    exactly as they were read here a moment ago the vector store of the index writes none again.

    An index holds the vectors of one model: for another model, take another index.

    Attributes:
        embed_model: embeds the rest; by default `Settings.embed_model`.
        model_name: the model's name, which `to_dict` and the pipeline's cache go by.

    Examples:
        >>> from llama_index.core.embeddings import MockEmbedding
        >>> from llama_index.core.schema import TextNode
        >>> client = OSSVectorClient.local()
        >>> reuse = ReuseStoredEmbeddings(client=client, embed_model=MockEmbedding(embed_dim=2))
        >>> reuse([TextNode(id_="tea", text="Green tea.")])[0].embedding
        [0.5, 0.5]
    """

    embed_model: BaseEmbedding | None = Field(default=None, exclude=True, repr=False)
    model_name: str | None = None

    _user: DeletedUser = PrivateAttr(default_factory=DeletedUser)

    def model_post_init(self, context: Any, /) -> None:
        """Check the model against the name it should have."""
        super().model_post_init(context)
        # from now on: a pipeline deletes before it comes to this
        if (known := context_of(self.client, self.index)) is not None:
            self._user.use(known, self.index)
        elif self.client is None:
            with suppress(ConfigurationError):
                settings = self._clients.settings
                if settings is not None:
                    self._user.use_named(settings.bucket, self.index or settings.index)
        if self.embed_model is not None:
            remedy = "embeddings of different models do not mix in one index"
            self.model_name = self._check_name(self.embed_model, remedy)

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Set the embedding of each node, and return the nodes."""
        embed = self._model().get_text_embedding_batch
        return self._clients.run(self._embed_changed, nodes, embed, kwargs)

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Do what a call does."""
        embed = self._model().aget_text_embedding_batch
        return await self._clients.arun(self._embed_changed, nodes, embed, kwargs)

    def _model(self) -> BaseEmbedding:
        # asked for at each call and not before: it makes a client of the default provider
        model = self.embed_model or Settings.embed_model
        self._check_name(model, "give embed_model=")
        return model

    def _check_name(self, model: BaseEmbedding, remedy: str) -> str:
        if self.model_name not in (None, model.model_name):
            raise ConfigurationError(
                f"the model is {model.model_name!r}, and this was made for {self.model_name!r}; "
                f"{remedy}"
            )
        return model.model_name

    def _embed_changed(
        self, context: Context, given: Iterable[BaseNode], embed: Embed, options: dict[str, Any]
    ) -> Flow[Sequence[BaseNode]]:
        # a generator would be empty after one look
        nodes = given if isinstance(given, Sequence) else list(given)
        bare = [node for node in nodes if node.embedding is None]
        stored = yield from self._fetch_stored(context, bare)
        changed = []
        for node in bare:
            digest, embedding = stored.get(node.node_id, ("", []))
            if digest == content_hash(node):
                node.embedding = embedding
            else:
                changed.append(node)
        if changed:
            texts = [node.get_content(MetadataMode.EMBED) for node in changed]
            embeddings = yield from call_function(embed, texts, **options)
            for node, embedding in zip(changed, embeddings, strict=True):
                node.embedding = embedding
        return nodes

    def _fetch_stored(
        self, context: Context, nodes: Sequence[BaseNode]
    ) -> Flow[dict[str, tuple[str, list[float]]]]:
        ids = list(dict.fromkeys(node.node_id for node in nodes if is_key(node.node_id)))
        self._user.use(context, self.index)
        recent, now = recent_nodes(context, self.index), context.monotonic()
        count = count_writes(context, self.index)
        stored = recent.deleted_embeddings(ids, now)
        left = [key for key in ids if key not in stored]
        if not left:
            return stored
        recent.forget_stored(left)  # one that another process has deleted is not found below
        lookup = self._lookup(return_data=True)

        def make(record: Record) -> tuple[str, tuple[str, list[float]]]:
            node = lookup.node(record)
            return record.key, (content_hash(node), node.embedding or [])

        def note(_: Record, vector: Vector) -> bool:
            # what is still the same when it is to be written need not be written
            recent.note_stored(vector, count, now)
            return True

        try:
            found = yield from fetch_records(context, lookup, left, make, note)
        # the first run of a pipeline, before its vector store has made the index
        except NoSuchVectorIndexError:
            return stored
        return {**stored, **dict(found.made)}
