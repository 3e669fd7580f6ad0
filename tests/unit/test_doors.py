"""Whatever a public signature mentions can be imported from a door.

A user who annotates a function with what `client.list_vectors()` returns must not reach into the
package for the name. The walk begins with what the doors export, and looks at the hints of
parameters and results, at attributes and at bases. A type that no door exports is followed like the
others, so that the first failure shows all that is missing.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

PACKAGE = "oss_vector_retriever"
DOORS = [
    PACKAGE,
    f"{PACKAGE}.records",
    f"{PACKAGE}.embeddings",
    f"{PACKAGE}.langchain",
    f"{PACKAGE}.langgraph",
    f"{PACKAGE}.llama_index",
    f"{PACKAGE}.emulator",
    f"{PACKAGE}.emulator.faults",
    f"{PACKAGE}.corpus",
    f"{PACKAGE}.studio",
    f"{PACKAGE}.ray",
    f"{PACKAGE}.testing",
    f"{PACKAGE}.mcp",
]

# They run flows, and flows are the inside of the package.
APART = {"run", "arun", "run_flow"}


def exported_values(door: str) -> dict[str, Any]:
    """Return what a door exports, by name."""
    module = importlib.import_module(door)
    return {name: getattr(module, name) for name in getattr(module, "__all__", ())}


@functools.cache
def exported_types() -> frozenset[type]:
    values = [value for door in DOORS for value in exported_values(door).values()]
    return frozenset(value for value in values if isinstance(value, type))


def is_own(value: object) -> bool:
    """Return whether a class or function is of this package, and not underscored."""
    module, name = getattr(value, "__module__", ""), getattr(value, "__name__", "_")
    return (module or "").split(".")[0] == PACKAGE and not name.startswith("_")


# From an annotation to the classes in it


def classes_in(hint: object, module: str) -> Iterator[type]:
    """Yield each class in an annotation of a module, however deep."""
    match hint:
        case str():
            yield from classes_in(eval(hint, names_in(module)), module)
        case typing.ForwardRef():
            yield from classes_in(hint.__forward_arg__, hint.__forward_module__ or module)
        case typing.TypeVar():
            yield from classes_in_all([hint.__bound__, *hint.__constraints__], module)
        case list() | tuple():  # the parameters of a Callable
            yield from classes_in_all(hint, module)
        case _ if hint is typing.Generic or typing.get_origin(hint) is typing.Literal:
            return
        case _ if typing.get_origin(hint) is typing.Annotated:
            yield from classes_in(typing.get_args(hint)[0], module)
        case _ if typing.get_origin(hint) is not None:
            parts = [typing.get_origin(hint), *typing.get_args(hint)]
            yield from classes_in_all(parts, module)
        case type():
            # pydantic makes a class for each Base[Argument]; what a door can export is Base.
            generic = getattr(hint, "__pydantic_generic_metadata__", None) or {}
            yield generic.get("origin") or hint
            yield from classes_in_all(generic.get("args", ()), module)


def classes_in_all(hints: Iterable[object], module: str) -> Iterator[type]:
    for hint in hints:
        yield from classes_in(hint, module)


@functools.cache
def names_in(module: str) -> dict[str, Any]:
    """Return a module's names, and those that it imports for type checkers alone."""
    loaded = sys.modules.get(module) or importlib.import_module(module)
    names = dict(vars(loaded))
    if loaded.__file__ is None:
        return names
    with open(loaded.__file__, encoding="utf-8") as source:  # noqa: PTH123 - a str, not a Path
        tree = ast.parse(source.read())
    for block in tree.body:
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test):
            for node in block.body:
                names |= imported_by(node, loaded.__package__ or "")
    return names


def imported_by(node: ast.stmt, package: str) -> dict[str, Any]:
    """Return what an import statement brings, by name."""
    match node:
        case ast.Import(names):
            tops = [alias.asname or alias.name.split(".")[0] for alias in names]
            modules = [module_or_nothing(alias.name) for alias in names]
            return dict(zip(tops, modules, strict=True))
        case ast.ImportFrom(module, names, level):
            source = module_or_nothing("." * level + (module or ""), package)
            return {alias.asname or alias.name: getattr(source, alias.name) for alias in names}
    return {}


def module_or_nothing(name: str, package: str = "") -> Any:
    """Return a module; of one of others that is not installed, its classes as object."""
    if name.startswith("ray."):  # as if it were not: it takes two seconds
        return types.SimpleNamespace(Dataset=object)
    try:
        return importlib.import_module(name, package)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(PACKAGE):
            raise
        return types.SimpleNamespace(DataFrame=object, Table=object, RecordBatch=object)


# From a public value to its annotations


def annotations_of(value: object) -> Iterator[tuple[str, object, str]]:
    """Yield where an annotation stands, the annotation, and the module to read it in."""
    if isinstance(value, type):
        yield from annotations_of_class(value)
    elif inspect.isfunction(value):
        yield from annotations_of_function(value.__qualname__, value)
    elif typing.get_origin(value) is not None:  # the alias of a type
        yield str(value), value, PACKAGE


def annotations_of_class(cls: type) -> Iterator[tuple[str, object, str]]:
    for base in types.get_original_bases(cls) if sys.version_info >= (3, 12) else bases_of(cls):
        yield f"{cls.__name__} (base)", base, cls.__module__
    # What a base of ours that nobody exports brings is the class's own, for who uses it.
    for owner in (one for one in cls.__mro__ if one.__module__.split(".")[0] == PACKAGE):
        for name, annotation in inspect.get_annotations(owner).items():
            if is_public(name):
                yield f"{cls.__name__}.{name}", annotation, owner.__module__
        for name in vars(owner):
            if is_public(name):
                yield from annotations_of_member(cls, name)


def bases_of(cls: type) -> tuple[object, ...]:
    return vars(cls).get("__orig_bases__", cls.__bases__)


def is_public(name: str) -> bool:
    special = name.startswith("__") and name.endswith("__")
    return name not in APART and (special or not name.startswith("_"))


def annotations_of_member(cls: type, name: str) -> Iterator[tuple[str, object, str]]:
    where = f"{cls.__name__}.{name}"
    member = inspect.getattr_static(cls, name)
    if isinstance(member, property):
        functions = [member.fget]
    elif isinstance(member, functools.cached_property):
        functions = [member.func]
    else:
        # A method that a descriptor makes may be there on some classes alone.
        value = getattr(cls, name, None)
        is_method = callable(value) and not isinstance(value, type) and not is_generated(member)
        functions = [value] if is_method else []
    for function in functions:
        if function is not None and is_of_package(function):
            yield from annotations_of_function(where, function)


def is_generated(member: object) -> bool:
    """Return whether a dataclass made a method; its hints are those of the fields."""
    return inspect.isfunction(member) and member.__code__.co_filename == "<string>"


def is_of_package(function: Any) -> bool:
    return (getattr(function, "__module__", "") or "").split(".")[0] == PACKAGE


def annotations_of_function(
    where: str, function: Callable[..., Any]
) -> Iterator[tuple[str, object, str]]:
    signature = inspect.signature(function)
    module = function.__module__
    for parameter in signature.parameters.values():
        yield f"{where}({parameter.name}=)", parameter.annotation, module
    yield f"{where} ->", signature.return_annotation, module


# The walk


def own_types_of(value: object) -> Iterator[tuple[str, type]]:
    """Yield the classes of this package in a value's hints, each with where it stands."""
    for where, annotation, module in annotations_of(value):
        for found in classes_in(annotation, module):
            if is_own(found):
                yield where, found


def missing_from(values: Iterable[object]) -> dict[type, list[str]]:
    """Return the types that no door exports, each with where it is seen, to the last of them."""
    missing: dict[type, list[str]] = {}
    waiting = list(values)
    while waiting:
        for where, found in own_types_of(waiting.pop()):
            if found not in exported_types():
                if found not in missing:
                    waiting.append(found)
                missing.setdefault(found, []).append(where)
    return missing


def shown(missing: dict[type, list[str]]) -> str:
    """Return the types that are missing as text: a line each, with where it is seen."""
    return "\n".join(
        sorted(
            f"{found.__name__} ({found.__module__.removeprefix(f'{PACKAGE}.')}): "
            + ", ".join(dict.fromkeys(places))
            for found, places in missing.items()
        )
    )


@pytest.mark.parametrize("door", DOORS)
def test_every_type_that_a_door_mentions_is_exported_by_a_door(door):
    missing = missing_from(exported_values(door).values())
    assert not missing, f"{len(missing)} types\n{shown(missing)}"


# Options


def hidden_options_of(value: type) -> Iterator[str]:
    """Yield the methods of a class that take options which no signature names."""
    for name in dir(value):
        if not is_public(name) or (name != "__init__" and is_of_a_framework(value, name)):
            continue
        function = getattr(value, name)
        if not (inspect.isroutine(function) and is_of_package(function)):
            continue
        for parameter in inspect.signature(function).parameters.values():
            annotation = parameter.annotation  # a string, or what it stands for
            unpacked = "Unpack" in str(annotation) or typing.get_origin(annotation) is typing.Unpack
            if parameter.kind is parameter.VAR_KEYWORD and not unpacked:
                yield f"{value.__name__}.{name}(**{parameter.name})"


def is_of_a_framework(value: type, name: str) -> bool:
    """Return whether a method overrides one of another package, and so has its signature."""
    return any(
        name in vars(base) for base in value.__mro__ if base.__module__.split(".")[0] != PACKAGE
    )


@pytest.mark.parametrize("door", DOORS)
def test_every_option_has_a_name_that_editors_and_type_checkers_see(door):
    values = exported_values(door).values()
    owners = [value for value in values if isinstance(value, type) and is_own(value)]
    found = {one for owner in owners for one in hidden_options_of(owner)}
    assert not found, "\n".join(sorted(found))


# The walk itself


def test_the_walk_sees_parameters_results_attributes_bases_and_what_is_inside_them():
    from oss_vector_retriever import FetchResult, OSSVectorClient, Vector  # noqa: PLC0415 - only here

    seen = {found for _, found in own_types_of(OSSVectorClient)}
    assert {FetchResult, Vector} <= seen
    places = {where for where, found in own_types_of(FetchResult) if found is Vector}
    assert "FetchResult.aligned ->" in places
    assert places & {"FetchResult.by_key", "FetchResult.by_key ->"}


def test_a_hint_is_taken_apart():
    hint = dict[str, Callable[[int], list[bytes | None]]] | typing.Literal["a"]
    assert {int, bytes, list, dict, str} <= set(classes_in(hint, __name__))


def test_a_hint_in_a_text_may_name_what_is_imported_for_type_checkers():
    (local,) = classes_in("OSSVectorClient", PACKAGE)
    assert local.__name__ == "OSSVectorClient"
