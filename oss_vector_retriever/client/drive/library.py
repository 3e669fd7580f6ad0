"""Which HTTP library: httpx2 where it is importable, else httpx.

httpx2 is httpx's maintained successor with the same API; its engine is httpcore2 instead of
httpcore. `OSS_VECTORS_HTTP_LIBRARY` names one of the two, for those who must have the other.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import ssl
from typing import Any

from oss_vector_retriever.client.errors import ConfigurationError

VARIABLE = "OSS_VECTORS_HTTP_LIBRARY"
_ENGINES = {"httpx2": "httpcore2", "httpx": "httpcore"}


def library_name() -> str:
    """Return `httpx2` or `httpx`."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None and wanted not in _ENGINES:
        raise ConfigurationError(f"{VARIABLE} must be httpx2 or httpx.")
    names = [wanted] if wanted else list(_ENGINES)
    for name in names:
        if importlib.util.find_spec(name):
            return name
    raise ConfigurationError(f"no HTTP library is installed: pip install {names[0]}")


def engine(name: str) -> Any:
    """Return the engine of a library: connection pools and the network below them."""
    return importlib.import_module(_ENGINES[name])


@functools.lru_cache(maxsize=8)
def tls_context(name: str, ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies certificates, with the library's own set of authorities.

    `ca_file` (PEM) replaces that set. Made once and shared: reading the authorities takes tens of
    milliseconds, too long for an event loop on which a client is made.
    """
    if ca_file is None:
        context: ssl.SSLContext = importlib.import_module(name).create_ssl_context()
        return context
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca_file {ca_file!r} cannot be read as PEM.") from error
