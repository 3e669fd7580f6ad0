"""Names and modules that are loaded when first used."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

_SCAN_PROTOCOL = 1


def make_lazy(
    package: str, where: Mapping[str, str], extra: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package whose names live in other modules.

    Args:
        package: the package's name.
        where: for each public name the module that defines it.
        extra: the extra to install when something that the module imports is absent.
    """

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(where[name]), name)
        except ImportError as error:
            # A package of ours that lacks something says so of itself; here it is our extra's.
            lacking = error if isinstance(error, ModuleNotFoundError) else error.__cause__
            if extra is None or not isinstance(lacking, ModuleNotFoundError):
                raise
            # A module of our own that is missing is a broken installation, and no missing extra.
            if (lacking.name or "").startswith("oss_vector_retriever"):
                raise
            raise missing_error(lacking, f"{package}.{name}", extra) from lacking

    return load, lambda: sorted(where)


def load_optional(module: str, what: str, extra: str | None = None, also: str = "") -> Any:
    """Return a module that the package can do without; the arguments are those of `missing_error`.

    Raises:
        ImportError: it is not installed; the text says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_error(error, what, extra, also) from error


def missing_error(
    error: ModuleNotFoundError, what: str, extra: str | None = None, also: str = ""
) -> ImportError:
    """Return the error that says what to install where an optional module is not there.

    Args:
        error: what its import raised.
        what: what needs it.
        extra: the extra that brings it; None where it is installed by its own name.
        also: what no extra brings, and is needed besides.
    """
    words = [f'"oss-vector-retriever[{extra}]"' if extra else f"{error.name}", also]
    install = " ".join(["pip install", *filter(None, words)])
    return ImportError(f"{what} needs {error.name}: {install}", name=error.name)


def load_scan() -> Callable[[bytes], tuple[bytes, list[bytes]] | None] | None:
    """Return the compiled scan of a distribution of its own (extra `fast`), where it is usable.

    It takes a JSON text with vectors; it returns what is left of it, a number in the place of each
    array, and these, packed; or None where it is not certainly plain.
    """
    try:
        module = importlib.import_module("oss_vector_scan")
    except Exception:  # noqa: BLE001 - one for another interpreter may fail in any way
        return None
    # one of another number takes and returns what we do not know
    return module.scan if getattr(module, "PROTOCOL", None) == _SCAN_PROTOCOL else None


class LazyModule:
    """A module that is imported when something of it is first used; then it takes this one's place.

    What a first fetch can do without, such as asyncio in a blocking client, took a third of the
    time that importing the client takes.

    Args:
        name: the module's whole name.
        namespace: the globals of who uses it, under the last part of its name.
    """

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self._name = name
        self._namespace = namespace

    def __getattr__(self, attribute: str) -> Any:
        module = importlib.import_module(self._name)
        self._namespace[self._name.rpartition(".")[2]] = module
        return getattr(module, attribute)
