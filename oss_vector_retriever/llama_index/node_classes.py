"""Which class a stored node comes back as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    Node,
    TextNode,
)

from oss_vector_retriever.client.errors import ConfigurationError

NodeClasses = Mapping[str, type[BaseNode]]

_CORE = (TextNode, ImageNode, IndexNode, Node, Document, ImageDocument)
CORE_CLASSES: NodeClasses = MappingProxyType({kind.class_name(): kind for kind in _CORE})


def node_classes(own: Iterable[type[BaseNode]] | None = None) -> NodeClasses:
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
