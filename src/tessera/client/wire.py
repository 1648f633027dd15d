# SPDX-License-Identifier: Apache-2.0
"""The daemon's REST API as plain JSON values, for commands that do not load httpx and pydantic."""

from __future__ import annotations

import json

from tessera.client.exchange import decoded, exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def call(
    path: str,
    method: str,
    route: str,
    body: object = None,
    limit: float = 60.0,
    meanwhile: Callable[[], None] | None = None,
) -> object:
    """The decoded body of the answer. `limit`, `meanwhile` and what is raised: exchange()."""
    content = b"" if body is None else json.dumps(body).encode()
    answer = exchange(path, method, route, content, limit=limit, meanwhile=meanwhile)
    return decoded(path, answer)
