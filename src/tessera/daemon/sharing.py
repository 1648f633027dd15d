# SPDX-License-Identifier: Apache-2.0
"""The routes that tell and set how GPUs are shared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from tessera.daemon import metrics
from tessera.daemon.caller import Caller
from tessera.leases.sharing import Sharing
from tessera.model.policy import GpuPolicy, PolicyChange
from tessera.model.trace import Trace
from tessera.model.usage import Usage


async def _sharing(request: Request) -> Sharing:
    sharing: Sharing = request.app.state.sharing
    return sharing


Service = Annotated[Sharing, Depends(_sharing)]

router = APIRouter()


@router.get("/v1/gpus/{gpu}/policy", summary="How the leases on a GPU share its time")
async def show_policy(gpu: str, service: Service) -> GpuPolicy:
    return await service.policy(gpu)


@router.put(
    "/v1/gpus/{gpu}/policy", summary="Change how the leases on a GPU share its time, at once"
)
async def choose_policy(
    gpu: str, body: PolicyChange, service: Service, caller: Caller
) -> GpuPolicy:
    return await service.choose(gpu, body, caller)


@router.get(
    "/v1/gpus/{gpu}/trace",
    summary="Who held a GPU when, for Chrome's tracing page and Perfetto",
    response_model_exclude_none=True,
)
async def trace(
    gpu: str,
    service: Service,
    seconds: Annotated[float | None, Query(gt=0, le=86400, allow_inf_nan=False)] = None,
) -> Trace:
    return await service.trace(gpu, seconds)


@router.get("/v1/usage", summary="One look at everything that is counted; rates are two looks")
async def usage(service: Service) -> Usage:
    return await service.usage()


@router.get(
    "/metrics",
    summary="The same for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def prometheus(
    service: Service, accept: Annotated[str, Header(max_length=4096)] = ""
) -> Response:
    content, kind = metrics.exposition(await service.usage(), accept)
    return Response(content, media_type=kind)
