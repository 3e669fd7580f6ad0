"""Which class a stored node comes back as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    Node,
    TextNode,
)
from pydantic import BeforeValidator, PlainSerializer

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


def _full_name(kind: type[BaseNode]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _full_names(kinds: Iterable[type[BaseNode]]) -> list[str]:
    return [_full_name(kind) for kind in kinds]


def _loaded(kinds: Any) -> Any:
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
    BeforeValidator(_loaded),
    PlainSerializer(_full_names, return_type=list[str]),
]
