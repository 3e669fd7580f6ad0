"""Pickles without clients."""

from __future__ import annotations

from typing import Any

from oss_vector_retriever.client.both import BothClients


class WithoutClient:
    """Leave the client out of pickles: it holds credentials and connections.

    What is made of a pickle takes a client of its own, configured by the environment.
    """

    _clients: BothClients

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_clients"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clients = BothClients()
