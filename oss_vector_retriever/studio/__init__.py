"""A page to look at stored records: read-only, on this machine. Needs the extra `studio`.

    from oss_vector_retriever import AsyncOSSVectorClient
    from oss_vector_retriever.studio import Studio

    application = Studio(AsyncOSSVectorClient(index="notes"))      # for any ASGI server

`oss-vectors serve` shows it at `/_studio`, `oss-vectors studio` over any endpoint. It has one way
in for each view, all of them GET, and calls no operation of the service that writes.
"""

from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .application import Studio

__all__ = ["Studio"]

__getattr__, __dir__ = make_lazy(__name__, {"Studio": f"{__name__}.application"}, extra="studio")
