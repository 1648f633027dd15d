# SPDX-License-Identifier: Apache-2.0
"""The REST API. Each route says what it takes and gives; the services do the rest."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from os import getpid
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tessera import __version__
from tessera.client.exchange import ENVIRONMENT
from tessera.daemon import direct, sharing
from tessera.daemon.caller import Caller
from tessera.daemon.settings import Settings
from tessera.leases import environment, quota
from tessera.leases.resizing import Resizing
from tessera.leases.service import HOLDER_GRACE, LeaseService
from tessera.leases.sharing import Sharing
from tessera.model.errors import InvalidRequest, RouteNotFound, TesseraError
from tessera.model.gpu import GpuUse
from tessera.model.lease import Lease, LeaseChange, LeaseRequest
from tessera.model.service import Health, Version
from tessera.model.size import invalid_request
from tessera.model.stats import LeaseStats
from tessera.model.suspension import ResumeRequest, SuspendNeeds, SuspendRequest


async def _service(request: Request) -> LeaseService:
    service: LeaseService = request.app.state.leases
    return service


async def _resizing(request: Request) -> Resizing:
    resizing: Resizing = request.app.state.resizing
    return resizing


Service = Annotated[LeaseService, Depends(_service)]

router = APIRouter(prefix="/v1")


@router.get("/gpus", summary="The GPUs of this host and what is free on them")
async def list_gpus(service: Service) -> list[GpuUse]:
    return await service.gpus()


@router.get("/leases", summary="The live leases; with all=true the released ones before them")
async def list_leases(service: Service, all: Annotated[bool, Query()] = False) -> list[Lease]:
    return await service.leases(ended=all)


@router.post(
    "/leases",
    status_code=201,
    summary="Ask for a slice; with wait_seconds the answer may take so long, and who hangs up has left",
    response_model=Lease,
    responses={
        201: {
            "description": "The lease, or just what its workload's environment needs: words that end "
            "with a zero byte, NAME=VALUE to set and NAME to remove",
            "content": {ENVIRONMENT: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def grant_lease(
    body: LeaseRequest, request: Request, service: Service, caller: Caller
) -> Lease | Response:
    lease = await _granted(body, request, service, caller)
    if request.headers.get("accept") != ENVIRONMENT:
        return lease
    words = environment.as_words(lease.environment, lease.environment_unset)
    return Response(words, status_code=201, media_type=ENVIRONMENT)


async def _granted(
    body: LeaseRequest, request: Request, service: LeaseService, caller: Caller
) -> Lease:
    if not body.wait_seconds:
        return await service.grant(body, caller)
    leaving = asyncio.ensure_future(_hang_up(request))
    try:
        return await service.grant(body, caller, [leaving])
    finally:
        leaving.cancel()


async def _hang_up(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.get("/leases/{key}", summary="One lease, by id or name")
async def show_lease(key: str, service: Service) -> Lease:
    return await service.find(key)


@router.get("/leases/{key}/stats", summary="What the sessions of a lease do")
async def lease_stats(key: str, service: Service) -> LeaseStats:
    return await service.stats(key)


@router.patch("/leases/{key}", summary="Change the memory or the weight of a lease that lives")
async def change_lease(
    key: str,
    body: LeaseChange,
    resizing: Annotated[Resizing, Depends(_resizing)],
    caller: Caller,
) -> Lease:
    return await resizing.change(key, body, caller)


@router.delete("/leases/{key}", summary="End a lease; with end_holder=true its workload too")
async def release_lease(
    key: str,
    service: Service,
    caller: Caller,
    end_holder: Annotated[bool, Query()] = False,
    grace: Annotated[float, Query(ge=0, le=3600, description="seconds")] = HOLDER_GRACE,
) -> Lease:
    return await service.release(key, caller, end_holder, grace)


@router.get(
    "/leases/{key}/suspend-check", summary="Whether a lease can be suspended, and its needs"
)
async def suspend_check(key: str, service: Service, caller: Caller) -> SuspendNeeds:
    return await service.suspending.check(key, caller)


@router.post("/leases/{key}/suspend", summary="Free the GPUs of a lease and keep its state")
async def suspend_lease(
    key: str, service: Service, caller: Caller, body: SuspendRequest | None = None
) -> Lease:
    return await service.suspending.suspend(key, (body or SuspendRequest()).to, caller)


@router.post("/leases/{key}/resume", summary="Put a suspended lease back on its GPUs, or on others")
async def resume_lease(
    key: str, service: Service, caller: Caller, body: ResumeRequest | None = None
) -> Lease:
    return await service.suspending.resume(key, (body or ResumeRequest()).gpus, caller)


@router.get("/version", summary="What this daemon is")
async def version() -> Version:
    return Version(version=__version__, python=platform.python_version(), quota_page=quota.VERSION)


@router.get("/health", summary="Whether this daemon is well")
async def health(request: Request, service: Service) -> Health:
    return Health(
        status="ok",
        version=__version__,
        pid=getpid(),
        started_at=request.app.state.started_at,
        runtime_folder=str(request.app.state.settings.runtime_folder),
        leases=service.live_count,
    )


def make_app(settings: Settings, service: LeaseService) -> FastAPI:
    """The application; the service is started before the first request and closed after the last."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPI(
        title="Tessera",
        version=__version__,
        summary="GPU leases of one host",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.leases = service
    app.state.resizing = Resizing(service)
    app.state.sharing = Sharing(service)
    app.state.started_at = datetime.now(UTC)
    app.include_router(router)
    app.include_router(sharing.router)
    app.include_router(direct.router)
    app.add_exception_handler(TesseraError, _named)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


async def _named(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TesseraError)
    return JSONResponse(error.to_wire(), status_code=error.http_status)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return await _named(request, invalid_request(error.errors()[0]))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = RouteNotFound if error.status_code == 404 else InvalidRequest
    named = kind(f"{request.method} {request.url.path}: {error.detail}.", "See /openapi.json.")
    return JSONResponse(named.to_wire(), status_code=error.status_code)
