"""LangGraph: long-term memory in an index, and documents by id just before the model is called.

Needs the extra `langgraph`.
"""

from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .middleware import DocumentState, HydrateDocumentsMiddleware
    from .store import OSSVectorGraphStore

_WHERE = {
    "DocumentState": f"{__name__}.middleware",
    "HydrateDocumentsMiddleware": f"{__name__}.middleware",
    "OSSVectorGraphStore": f"{__name__}.store",
}

__all__ = ["DocumentState", "HydrateDocumentsMiddleware", "OSSVectorGraphStore"]

__getattr__, __dir__ = make_lazy(__name__, _WHERE, extra="langgraph")
