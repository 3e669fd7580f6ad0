"""Request bodies: JSON of what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.wire import dump_json


def json_body(**members: Any) -> bytes:
    """Return a request body of the members that are not None.

    Raises:
        InvalidRequestError: a value cannot be written as JSON.
    """
    given: Mapping[str, Any] = {n: value for n, value in members.items() if value is not None}
    try:
        return dump_json(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}.") from None
