"""Records as LlamaIndex nodes, and nodes as what a record keeps of them.

Text, metadata and embedding stand in the record itself. Of the rest of a node its payload keeps
what is not a default: it is read with every fetch, and shares 40 KB with text and metadata.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from pydantic import BeforeValidator, PlainSerializer

from ..client.errors import ConfigurationError, InvalidRequestError, quote
from ..client.models.vector import Float32Array
from ..records import DecodeError, Record
from ..records.typed import json_form

MetadataValues = Literal["json", "typed"]
NodeClasses = Mapping[str, type[BaseNode]]
AnyNode = TypeVar("AnyNode", bound=BaseNode)

_CORE = (TextNode, ImageNode, IndexNode, Node, Document, ImageDocument)
_NOT_OF_TEXT = frozenset({"text_resource", "embedding"})
_IN_THE_RECORD = {"id_", "embedding", "metadata", "text"}
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")
_BASE, _NODE, _VALUE = "base_class", "node", "value"
_NODE_MEMBERS = ("id", "text", "metadata", "payload")
_PLAIN = (str, int, float, bool, list, dict)
_COMMON = (
    "id_",
    "metadata",
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "relationships",
    "metadata_template",
    "metadata_separator",
)
# a plain dict: it is pickled with the components that hold it
CORE_CLASSES: Final[NodeClasses] = {kind.class_name(): kind for kind in _CORE}


class NodeFields(NamedTuple):
    """Parts of a node that `records.encode` takes: `text=`, `metadata=`, the payload as `node=`."""

    text: str
    metadata: Mapping[str, Any]
    payload: dict[str, Any]


def node_fields(node: BaseNode, values: MetadataValues = "json") -> NodeFields:
    """Return what a record keeps of a node, from which `node_from` makes an equal one.

    `values` says how metadata that JSON lacks are kept: "json", as core writes them (a date as its
    text, a set as a list, NaN as None), or "typed", as they are. The embedding is the vector's
    data, and is not among it; nor is that of `IndexNode.obj`.
    """
    # `obj` may be a whole retriever, which no dump takes
    plain = node.model_copy(update={"obj": None}) if isinstance(node, IndexNode) else node
    payload = plain.model_dump(mode="json", exclude=_IN_THE_RECORD, exclude_defaults=True)
    payload["class_name"] = name_of(type(node))
    # so that a reader without the class still gets core's that it is made from
    if payload["class_name"] not in CORE_CLASSES:
        payload[_BASE] = core_class_of(type(node)).class_name()
    for related in payload.get("relationships", {}).values():
        for one in related if isinstance(related, list) else (related,):
            # the same for every one of them, and read with every fetch
            one.pop("class_name", None)
    if isinstance(node, Node):
        _pack_resources(node, payload)
    elif isinstance(node, IndexNode):
        _pack_object(node, payload, values)
    text, metadata = node.get_content(MetadataMode.NONE), kept_metadata(node.metadata, values)
    return NodeFields(text, metadata, payload)


def kept_metadata(metadata: Mapping[str, Any], values: MetadataValues) -> Mapping[str, Any]:
    """Return metadata as they are kept: "json" is what core's `json.dumps` of its dump makes."""
    if values == "typed":
        return metadata
    plain: dict[str, Any] = {}
    for name, value in metadata.items():
        if value.__class__ in _JSON_SCALARS:
            plain[name] = value
            continue
        try:
            plain |= json_form({name: value})
        except (ValueError, RecursionError):
            plain[name] = value  # whoever encodes it says what is wrong, and where
    return plain


_JSON_SCALARS: Final = frozenset({str, int, bool, type(None)})


def node_from(record: Record, classes: NodeClasses = CORE_CLASSES) -> BaseNode:
    """Return a record as a node: the key as its id, relationships and class as they were written.

    The stored embedding, if it was fetched, is the node's. A record that LlamaIndex did not write
    becomes a TextNode; one of `oss-vectors-embed` for an image an ImageNode that says where it is.
    A node whose class is not among `classes` comes back as core's class that it is made from. What
    a record names, such as an image's path, is not opened here; core does so when a model asks.

    Raises:
        DecodeError: the record claims to be a node, and no node can be made of it.
    """
    return embed(bare_node_from(record, classes), record.embedding)


def bare_node_from(record: Record, classes: NodeClasses = CORE_CLASSES) -> BaseNode:
    """Return what `node_from` does, without the embedding."""
    return _foreign_node(record) if record.node is None else _restore(record, record.node, classes)


def embed(node: AnyNode, embedding: Float32Array | None) -> AnyNode:
    """Return a node with a stored embedding as its own; without one, as it is."""
    return node if embedding is None else _embed(node, embedding.tolist())


def as_text_node(node: BaseNode) -> BaseNode:
    """Return a TextNode, or an ImageNode where there is an image, with all that the node holds.

    `RecursiveRetriever` takes no other kind. A node of that family is returned as it is.
    """
    if isinstance(node, TextNode):
        return node
    fields = _common_fields(node)
    fields["text"] = node.get_content(MetadataMode.NONE)
    image = getattr(node, "image_resource", None)
    if image is None:
        return _embed(TextNode(**fields), node.embedding)
    made = ImageNode(
        **fields,
        image=None if image.data is None else image.data.decode("ascii"),
        image_path=None if image.path is None else str(image.path),
        image_url=None if image.url is None else str(image.url),
        image_mimetype=image.mimetype,
    )
    return _embed(made, node.embedding)


def as_document(node: BaseNode) -> Document:
    """Return a Document with all that the node holds, except for classes' own fields."""
    if isinstance(node, Document):
        return node
    fields = _common_fields(node)
    if isinstance(node, Node):
        fields |= {name: getattr(node, name) for name in _RESOURCES}
    else:
        fields["text_resource"] = MediaResource(text=node.get_content(MetadataMode.NONE))
        if isinstance(node, ImageNode):
            fields["image_resource"] = _image_resource(node)
    return _embed(Document(**fields), node.embedding)


def linked_id(node: BaseNode, link: NodeRelationship) -> str | None:
    """Return the id of the one node that a link leads to, or None."""
    # core's own properties raise where a link leads to several, which its classes take
    linked = node.relationships.get(link)
    return linked.node_id if isinstance(linked, RelatedNodeInfo) else None


def child_ids(node: BaseNode) -> list[str]:
    """Return the ids of a node's children."""
    linked = node.relationships.get(NodeRelationship.CHILD) or []
    return [one.node_id for one in (linked if isinstance(linked, list) else [linked])]


def classes_by_name(own: Iterable[type[BaseNode]] | None = None) -> NodeClasses:
    """Return the classes by the name under which their nodes are stored: core's, and your own."""
    classes: dict[str, type[BaseNode]] = {}
    for kind in own or ():
        if not (isinstance(kind, type) and issubclass(kind, BaseNode)):
            raise ConfigurationError(f"node_classes takes node classes, not {kind!r}")
        name = name_of(kind)
        if classes.setdefault(name, kind) is not kind or CORE_CLASSES.get(name, kind) is not kind:
            raise ConfigurationError(
                f"two node classes have the name {name!r}; give one another class_name()"
            )
    return {**CORE_CLASSES, **classes} if classes else CORE_CLASSES


def name_of(kind: type[BaseNode]) -> str:
    """Return the name under which nodes of a class are stored."""
    name = kind.class_name()
    # a class that only inherits core's name would come back as core's: it goes by its own
    return kind.__name__ if CORE_CLASSES.get(name, kind) is not kind else name


def core_class_of(kind: type[BaseNode]) -> type[BaseNode]:
    """Return core's class that a class is, or is made from."""
    for base in kind.__mro__:
        if CORE_CLASSES.get(getattr(base, "class_name", str)()) is base:
            return base
    return TextNode


def _full_name(kind: type[BaseNode]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _load_classes(kinds: Any) -> Any:
    """Return classes for full names, such as a dict holds; other things are passed on."""
    if isinstance(kinds, str) or not isinstance(kinds, Iterable):
        return kinds
    return tuple(_class_named(kind) if isinstance(kind, str) else kind for kind in kinds)


def _class_named(name: str) -> type[BaseNode]:
    # among those that are loaded: what a dict says must not decide what is imported
    pending = BaseNode.__subclasses__()
    found: type[BaseNode] | None = None
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        found = kind if _full_name(kind) == name else found
    if found is None:
        raise ConfigurationError(
            f"node class {name} is not loaded; import its module first, or give node_classes=."
        )
    return found


OwnClasses = Annotated[
    tuple[type[BaseNode], ...],
    BeforeValidator(_load_classes),
    PlainSerializer(lambda kinds: [_full_name(kind) for kind in kinds], return_type=list[str]),
]


def _pack_resources(node: Node, payload: dict[str, Any]) -> None:
    for name in _RESOURCES:
        resource = getattr(node, name)
        if resource is None:
            continue
        packed = {key: value for key, value in payload[name].items() if value is not None}
        payload[name] = packed
        if resource.data is not None:  # which its own dump leaves out
            packed["data"] = resource.data.decode("ascii")
        if name == "text_resource":  # the text itself stands in the record
            packed.pop("text", None)
            if resource.text is None:
                packed["text"] = None
            elif resource.text and not packed:
                del payload[name]


def _pack_object(node: IndexNode, payload: dict[str, Any], values: MetadataValues) -> None:
    inside = node.obj
    payload.pop("obj", None)
    if isinstance(inside, BaseNode):
        text, metadata, inner = node_fields(inside, values)
        members = (inside.node_id, text, metadata, inner)
        payload["obj"] = {_NODE: dict(zip(_NODE_MEMBERS, members, strict=True))}
    elif isinstance(inside, _PLAIN):
        payload["obj"] = {_VALUE: inside}
    elif inside is not None:
        raise InvalidRequestError(
            f"record {quote(node.node_id)}: IndexNode.obj of type {type(inside).__name__} cannot "
            "be stored; set it to None and give the object to the retriever's object_map"
        )


def _foreign_node(record: Record) -> BaseNode:
    fields: dict[str, Any] = {"id_": record.key, "text": record.text, "metadata": record.metadata}
    media = record.media if record.source == "embed_cli" else None
    if media is None or media.content_type != "IMAGE" or media.location is None:
        return TextNode(**fields)
    # the tool embeds local files as well as URLs
    field = "image_url" if "://" in media.location else "image_path"
    return ImageNode(**fields, **{field: media.location})


def _restore(record: Record, payload: dict[str, Any], classes: NodeClasses) -> BaseNode:
    known = classes.get(str(payload.get("class_name")))
    kind = known or classes.get(str(payload.get(_BASE)), TextNode)
    fields = {**payload, "id_": record.key, "metadata": record.metadata}
    if record.source != "envelope":
        # core retrieves an object in the node's place, with whatever id and text stand in it
        fields.pop("obj", None)
    try:
        if kind is TextNode and _NOT_OF_TEXT.isdisjoint(payload):
            # its own constructor does no more than this, in twice the time
            node = TextNode.__new__(TextNode)
            fields["text"] = record.text
            TextNode.__pydantic_validator__.validate_python(fields, self_instance=node)
            return node
        return _build(kind, fields, record.text, classes)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        field = "_record.node" if record.source == "envelope" else "_node_content"
        reason = f"no {kind.class_name()} can be made of it ({type(error).__name__})"
        raise DecodeError(record.key, field, reason) from error


def _build(
    kind: type[BaseNode], fields: dict[str, Any], text: str, classes: NodeClasses
) -> BaseNode:
    fields.pop("class_name", None)
    fields.pop("embedding", None)
    resource = fields.pop("text_resource", None)
    if issubclass(kind, Node):
        fields.pop("text", None)
        return kind(**fields, text_resource=_resource_with_text(resource, text))
    if issubclass(kind, TextNode):
        fields["text"] = text
        return _index_node(kind, fields, classes) if issubclass(kind, IndexNode) else kind(**fields)
    # a class that derives from none of core's that can be made
    node = kind(**fields)
    # its text may be a field like others, and then it is set already
    if node.get_content(MetadataMode.NONE) != text:
        node.set_content(text)
    return node


def _resource_with_text(resource: dict[str, Any] | None, text: str) -> dict[str, Any] | None:
    if resource is None:
        return {"text": text} if text else None
    # an empty text and no text are two things to core
    without = not text and resource.get("text", "") is None
    return resource if without else {**resource, "text": text}


def _index_node(kind: type[IndexNode], fields: dict[str, Any], classes: NodeClasses) -> IndexNode:
    # as `_pack_object` writes it; core's own form could name a class that says what to make of it
    packed = fields.pop("obj", None)
    inside = None
    if isinstance(packed, dict) and _NODE in packed:
        key, text, metadata, payload = (packed[_NODE][name] for name in _NODE_MEMBERS)
        inside = node_from(Record(key, text, metadata, None, payload, "envelope"), classes)
    elif isinstance(packed, dict):
        inside = packed.get(_VALUE)
    return kind(**fields, obj=inside)


def _common_fields(node: BaseNode) -> dict[str, Any]:
    fields = {name: getattr(node, name) for name in _COMMON}
    if hasattr(node, "text_template"):
        fields["text_template"] = node.text_template
    return fields


def _embed(node: AnyNode, embedding: list[float] | None) -> AnyNode:
    if embedding is not None:
        # an assignment would check and copy each float, which these are known to be
        node.__dict__["embedding"] = embedding
        node.__pydantic_fields_set__.add("embedding")
    return node


def _image_resource(node: ImageNode) -> MediaResource | None:
    names = {
        "data": "image",
        "path": "image_path",
        "url": "image_url",
        "mimetype": "image_mimetype",
    }
    found = {name: getattr(node, field) for name, field in names.items()}
    given = {name: value for name, value in found.items() if value is not None}
    return MediaResource.model_validate(given) if given else None
