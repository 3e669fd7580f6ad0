"""Records as LlamaIndex nodes, and nodes as what a record keeps of them.

Text, metadata and embedding stand in the record itself. Of the rest of a node its payload keeps
what is not a default: it is read with every fetch, and shares 40 KB with text and metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)
from pydantic import BeforeValidator, PlainSerializer

from ..client.errors import ConfigurationError, InvalidRequestError, quote
from ..records import DecodeError, Record

NodeClasses = Mapping[str, type[BaseNode]]

_CORE = (TextNode, ImageNode, IndexNode, Node, Document, ImageDocument)
_NOT_OF_TEXT = frozenset({"text_resource", "embedding"})
_IN_THE_RECORD = {"id_", "embedding", "metadata", "text"}
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")
_BASE = "base_class"
_NODE, _VALUE = "node", "value"
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
    """Parts of a node that `records.encode` takes: `text=`, `metadata=`, the payload as `node=`.

    `metadata` is the node's own dict.
    """

    text: str
    metadata: dict[str, Any]
    payload: dict[str, Any]


def node_fields(node: BaseNode) -> NodeFields:
    """Return what a record keeps of a node, from which `node_from` makes an equal one.

    The embedding is the vector's data, and is not among it; nor is that of `IndexNode.obj`.

    Raises:
        InvalidRequestError: `IndexNode.obj` is a retriever or the like, which no record can hold.
    """
    # `obj` may be a whole retriever, which no dump takes
    plain = node.model_copy(update={"obj": None}) if isinstance(node, IndexNode) else node
    payload = plain.model_dump(mode="json", exclude=_IN_THE_RECORD, exclude_defaults=True)
    payload["class_name"] = name_of(type(node))
    # so that a reader without the class still gets core's that it is made from
    if payload["class_name"] not in CORE_CLASSES:
        payload[_BASE] = core_class_of(type(node)).class_name()
    _shorten_relationships(payload)
    if isinstance(node, Node):
        _pack_resources(node, payload)
    elif isinstance(node, IndexNode):
        _pack_object(node, payload)
    return NodeFields(node.get_content(MetadataMode.NONE), node.metadata, payload)


def node_from(record: Record, classes: NodeClasses = CORE_CLASSES) -> BaseNode:
    """Return a record as a node: the key as its id, relationships and class as they were written.

    The stored embedding, if it was fetched, is the node's. A record that LlamaIndex did not write
    becomes a TextNode; one of `oss-vectors-embed` for an image an ImageNode that says where it is.

    Args:
        record: a decoded record, which the node takes over.
        classes: the classes that nodes come back as, by stored name; one of a class that is not
            there comes back as core's class that it is made from.

    Raises:
        DecodeError: the record claims to be a node, and no node can be made of it.
    """
    node = _foreign_node(record) if record.node is None else _restore(record, record.node, classes)
    if record.embedding is not None:
        # an assignment would check and copy each float, which these are known to be
        node.__dict__["embedding"] = record.embedding.tolist()
        node.__pydantic_fields_set__.add("embedding")
    return node


def as_text_node(node: BaseNode) -> BaseNode:
    """Return a TextNode, or an ImageNode where there is an image, with all that the node holds.

    `RecursiveRetriever` takes no other kind. A node of that family is returned as it is.
    """
    if isinstance(node, TextNode):
        return node
    fields = _common_fields(node)
    fields["text"] = node.get_content(MetadataMode.NONE)
    image = getattr(node, "image_resource", None)
    made = TextNode(**fields) if image is None else ImageNode(**fields, **_image(image))
    return _copy_embedding(made, node)


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
    made = Document(**fields)
    _copy_embedding(made, node)
    return made


def classes_by_name(own: Iterable[type[BaseNode]] | None = None) -> NodeClasses:
    """Return the classes by the name under which their nodes are stored: core's, and your own.

    Raises:
        ConfigurationError: something is no node class, or two have one name.
    """
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
    """Return the name under which nodes of a class are stored.

    It is `class_name()`; a class that only inherits one of core's, and so would come back as that
    one, goes by its own Python name.
    """
    name = kind.class_name()
    return kind.__name__ if CORE_CLASSES.get(name, kind) is not kind else name


def core_class_of(kind: type[BaseNode]) -> type[BaseNode]:
    """Return core's class that a class is, or is made from."""
    for base in kind.__mro__:
        if CORE_CLASSES.get(getattr(base, "class_name", str)()) is base:
            return base
    return TextNode


def _full_name(kind: type[BaseNode]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _full_names(kinds: Iterable[type[BaseNode]]) -> list[str]:
    return [_full_name(kind) for kind in kinds]


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
    PlainSerializer(_full_names, return_type=list[str]),
]


def _shorten_relationships(payload: dict[str, Any]) -> None:
    for related in payload.get("relationships", {}).values():
        for one in related if isinstance(related, list) else (related,):
            # the same for every one of them, and read with every fetch
            one.pop("class_name", None)


def _pack_resources(node: Node, payload: dict[str, Any]) -> None:
    for name in _RESOURCES:
        resource = getattr(node, name)
        if resource is None:
            continue
        packed = {key: value for key, value in payload[name].items() if value is not None}
        payload[name] = packed
        if resource.data is not None:  # which its own dump leaves out
            packed["data"] = resource.data.decode("ascii")
        if name == "text_resource":
            _leave_out_text(payload, packed, resource.text)


def _leave_out_text(payload: dict[str, Any], packed: dict[str, Any], text: str | None) -> None:
    packed.pop("text", None)
    if text is None:
        packed["text"] = None
    elif text and not packed:
        del payload["text_resource"]


def _pack_object(node: IndexNode, payload: dict[str, Any]) -> None:
    inside = node.obj
    payload.pop("obj", None)
    if isinstance(inside, BaseNode):
        text, metadata, inner = node_fields(inside)
        packed = {"id": inside.node_id, "text": text, "metadata": metadata, "payload": inner}
        payload["obj"] = {_NODE: packed}
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
    kind = _class_for(payload, classes)
    try:
        if kind is TextNode and _NOT_OF_TEXT.isdisjoint(payload):
            return _text_node(record, payload)
        return _build(kind, record, payload, classes)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DecodeError(record.key, _field(record), _reason(kind, error)) from error


def _class_for(payload: dict[str, Any], classes: NodeClasses) -> type[BaseNode]:
    known = classes.get(str(payload.get("class_name")))
    return known or classes.get(str(payload.get(_BASE)), TextNode)


def _text_node(record: Record, payload: dict[str, Any]) -> TextNode:
    # its own constructor does no more than this, in twice the time
    node = TextNode.__new__(TextNode)
    fields = {**payload, "id_": record.key, "metadata": record.metadata, "text": record.text}
    TextNode.__pydantic_validator__.validate_python(fields, self_instance=node)
    return node


def _build(
    kind: type[BaseNode], record: Record, payload: dict[str, Any], classes: NodeClasses
) -> BaseNode:
    fields = {**payload, "id_": record.key, "metadata": record.metadata}
    fields.pop("class_name", None)
    fields.pop("embedding", None)
    if issubclass(kind, Node):
        fields.pop("text", None)
        fields["text_resource"] = _resource_with_text(payload.get("text_resource"), record.text)
        return kind(**fields)
    fields.pop("text_resource", None)
    if issubclass(kind, TextNode):
        fields["text"] = record.text
        return _index_node(kind, fields, classes) if issubclass(kind, IndexNode) else kind(**fields)
    return _build_other_kind(kind, fields, record.text)


def _build_other_kind(kind: type[BaseNode], fields: dict[str, Any], text: str) -> BaseNode:
    """Make a node of a class that derives from none of core's that can be made."""
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
    # as it is packed below; whatever else stands there is core's own form
    packed = fields.get("obj")
    if isinstance(packed, dict) and len(packed) == 1:
        if _VALUE in packed:
            return kind(**{**fields, "obj": packed[_VALUE]})
        if _NODE in packed:
            return kind(**{**fields, "obj": _object_from(packed[_NODE], classes)})
    return kind.from_dict(fields)


def _object_from(packed: dict[str, Any], classes: NodeClasses) -> BaseNode:
    inside = Record(packed["id"], packed["text"], packed["metadata"], None, packed["payload"])
    return node_from(inside, classes)


def _field(record: Record) -> str:
    return "_record.node" if record.source == "envelope" else "_node_content"


def _reason(kind: type[BaseNode], error: Exception) -> str:
    return f"no {kind.class_name()} can be made of it ({type(error).__name__})"


def _common_fields(node: BaseNode) -> dict[str, Any]:
    fields = {name: getattr(node, name) for name in _COMMON}
    if hasattr(node, "text_template"):
        fields["text_template"] = node.text_template
    return fields


def _copy_embedding(copy: BaseNode, node: BaseNode) -> BaseNode:
    if node.embedding is not None:
        copy.__dict__["embedding"] = node.embedding  # checked when the other node was made
        copy.__pydantic_fields_set__.add("embedding")
    return copy


def _image(image: MediaResource) -> dict[str, Any]:
    return {
        "image": None if image.data is None else image.data.decode("ascii"),
        "image_path": None if image.path is None else str(image.path),
        "image_url": None if image.url is None else str(image.url),
        "image_mimetype": image.mimetype,
    }


def _image_resource(node: ImageNode) -> MediaResource | None:
    fields = {
        "data": node.image,
        "path": node.image_path,
        "url": node.image_url,
        "mimetype": node.image_mimetype,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return MediaResource.model_validate(given) if given else None
