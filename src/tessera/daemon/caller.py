# SPDX-License-Identifier: Apache-2.0
"""Who asks: a parameter for routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tessera.leases.peer import Peer


async def _peer(request: Request) -> Peer:
    # The server put the socket's credentials where a TCP server has the client's address.
    client = request.client
    return Peer(uid=int(client.host), pid=client.port) if client else Peer(uid=-1, pid=-1)


Caller = Annotated[Peer, Depends(_peer)]
