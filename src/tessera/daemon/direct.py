# SPDX-License-Identifier: Apache-2.0
"""The routes that tell what can be handed over to machines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from tessera.daemon.caller import Caller
from tessera.leases.direct import DirectLeases
from tessera.leases.service import LeaseService
from tessera.model.direct import DirectCheck, DirectView
from tessera.model.lease import MAX_DIRECT, LeaseRequest


async def _direct(request: Request) -> DirectLeases:
    leases: LeaseService = request.app.state.leases
    return leases.direct


Service = Annotated[DirectLeases, Depends(_direct)]

router = APIRouter(prefix="/v1/direct")


@router.get("", summary="Devices that machines could have whole, and who has them")
async def show_direct(service: Service) -> DirectView:
    return await service.view()


@router.get(
    "/check", summary="What keeps devices from being handed over to the caller, if anything"
)
async def check_direct(
    service: Service,
    caller: Caller,
    device: Annotated[list[str], Query(min_length=1, max_length=MAX_DIRECT)],
    machine_memory: Annotated[int, Query(ge=0, description="of the machine, in bytes")] = 0,
    without_reset: Annotated[bool, Query()] = False,
) -> DirectCheck:
    fields = {
        "direct": device,
        "holder_pid": caller.pid if caller.pid > 0 else None,
        "machine_memory": machine_memory,
        "without_reset": without_reset,
    }
    return await service.check(LeaseRequest.checked(fields), caller)
