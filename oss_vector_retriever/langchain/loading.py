"""Components that LangChain has serialised, brought back."""

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.load import Serializable, load
from pydantic_core import from_json

from ..client.errors import InvalidRequestError
from . import compressors, fetcher, parents, retriever, tools

# not the search tool: its embedding model does not travel
_OURS: tuple[type[Serializable], ...] = (
    fetcher.OSSVectorFetcher,
    fetcher.OSSVectorRehydrator,
    parents.ParentHydratingRetriever,
    retriever.OSSVectorRetriever,
    tools.OSSVectorFetchTool,
    tools.OSSVectorToolkit,
    compressors.StoredEmbeddingsFilter,
    compressors.StoredEmbeddingsMMR,
    compressors.StoredEmbeddingsRedundantFilter,
)


def load_retriever(
    serialized: str | Mapping[str, Any],
    *,
    secrets: Mapping[str, str] | None = None,
    secrets_from_env: bool = False,
    allowed: Iterable[type[Serializable]] = (),
) -> Any:
    """Return what `dumps` or `dumpd` of LangChain made of a component of this package.

    It reads where the one that was serialised read, whatever the environment names. Only this
    package's classes are made, and those allowed by name.

    Args:
        serialized: the text, or the dict.
        secrets: values of the secrets that the serialised form names, such as
            `{"OSS_ACCESS_KEY_SECRET": ...}`; one that is not given stays out of the object, which
            then says at its first call that credentials must be given.
        secrets_from_env: put the environment's into the object; for your own texts alone.
        allowed: further classes that it may hold, such as that of a wrapped retriever.

    Raises:
        InvalidRequestError: it holds a class that is not allowed.

    Examples:
        >>> from langchain_core.load import dumps
        >>> place = {"bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou"}
        >>> load_retriever(dumps(OSSVectorRetriever(**place, k=3))).k
        3
    """
    kinds = [*_OURS, *allowed]
    form = from_json(serialized) if isinstance(serialized, str) else dict(serialized)
    _refuse_foreign(form, {tuple(kind.lc_id()) for kind in kinds})
    options: dict[str, Any] = {
        "valid_namespaces": list({kind.lc_id()[0] for kind in kinds}),
        "secrets_map": dict(secrets or {}),
        "secrets_from_env": secrets_from_env,
    }
    if "allowed_objects" in inspect.signature(load).parameters:  # not in the first releases of 1.x
        options["allowed_objects"] = kinds
    with warnings.catch_warnings():  # LangChain's own, at each call
        warnings.filterwarnings("ignore", message=".*is in beta")
        return load(form, **options)


def _refuse_foreign(form: Any, allowed: set[tuple[str, ...]]) -> None:
    """Refuse a form that would make an object of a class that is not allowed.

    Raises:
        InvalidRequestError: naming the class.
    """
    # before anything is made: LangChain's own check comes when the parts inside exist already
    if isinstance(form, dict):
        kind = tuple(form.get("id") or ())
        if form.get("lc") == 1 and form.get("type") == "constructor" and kind not in allowed:
            raise InvalidRequestError(
                f"{'.'.join(map(str, kind))} is not allowed in a serialised retriever; pass its "
                "class in allowed= if you trust the text."
            )
    for part in form.values() if isinstance(form, dict) else form:
        if isinstance(part, dict | list):
            _refuse_foreign(part, allowed)
