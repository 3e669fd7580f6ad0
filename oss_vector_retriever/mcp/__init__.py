"""MCP: search and fetch in an index, served to agents of any make; needs the extra `mcp`."""

from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .server import OSSVectorMCPServer

__all__ = ["OSSVectorMCPServer"]

__getattr__, __dir__ = make_lazy(
    __name__, {"OSSVectorMCPServer": f"{__name__}.server"}, extra="mcp"
)
