"""Nodes as another kind: the TextNode family that retrieval wants, the reader's Document."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)

_SHARED = (
    "id_",
    "metadata",
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "relationships",
    "metadata_template",
    "metadata_separator",
)


def as_text_node(node: BaseNode) -> BaseNode:
    """Return a TextNode, or an ImageNode where there is an image, with all that the node holds.

    `RecursiveRetriever` takes no other kind. A node of that family is returned as it is.
    """
    if isinstance(node, TextNode):
        return node
    fields = _shared(node)
    fields["text"] = node.get_content(MetadataMode.NONE)
    image = getattr(node, "image_resource", None)
    made = TextNode(**fields) if image is None else ImageNode(**fields, **_image(image))
    return _with_embedding(made, node)


def as_document(node: BaseNode) -> Document:
    """Return a Document with all that the node holds, except for classes' own fields."""
    if isinstance(node, Document):
        return node
    fields = _shared(node)
    if isinstance(node, Node):
        fields |= {name: getattr(node, name) for name in _RESOURCES}
    else:
        fields["text_resource"] = MediaResource(text=node.get_content(MetadataMode.NONE))
        if isinstance(node, ImageNode):
            fields["image_resource"] = _image_resource(node)
    made = Document(**fields)
    _with_embedding(made, node)
    return made


_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")


def _shared(node: BaseNode) -> dict[str, Any]:
    fields = {name: getattr(node, name) for name in _SHARED}
    if hasattr(node, "text_template"):
        fields["text_template"] = node.text_template
    return fields


def _with_embedding(made: BaseNode, node: BaseNode) -> BaseNode:
    if node.embedding is not None:
        made.__dict__["embedding"] = node.embedding  # checked when the other node was made
        made.__pydantic_fields_set__.add("embedding")
    return made


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
