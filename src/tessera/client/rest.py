# SPDX-License-Identifier: Apache-2.0
"""The typed client of the REST API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tessera import paths
from tessera.client import exchange, launch
from tessera.model.direct import DirectCheck, DirectView
from tessera.model.errors import (
    DaemonUnreachable,
    GpuNotFound,
    InvalidName,
    LeaseNotFound,
    TesseraError,
    from_wire,
)
from tessera.model.gpu import GpuUse
from tessera.model.lease import Lease, LeaseChange, LeaseRequest, check_name
from tessera.model.policy import GpuPolicy, PolicyChange
from tessera.model.service import Health, Version
from tessera.model.stats import LeaseStats
from tessera.model.suspension import Keep, ResumeRequest, SuspendNeeds, SuspendRequest
from tessera.model.trace import Trace
from tessera.model.usage import Usage

T = TypeVar("T")

_ANSWER_LIMIT = 120.0
# Seconds; a suspend waits for what runs, and for the disk.
_LONG = 1860.0


def _route(key: str) -> str:
    # What no lease can be called need not be asked for, and could mean another path.
    try:
        return f"/v1/leases/{check_name(key)}"
    except InvalidName as error:
        message = f"There is no lease '{key[:64]}'."
        raise LeaseNotFound(message, "`tessera ps -a` lists them.") from error


def _gpu_route(key: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key):
        raise GpuNotFound(f"There is no GPU '{key[:64]}'.", "`tessera gpus` lists them.")
    return f"/v1/gpus/{key}"


class Client:
    """One connection to a daemon. Each method raises the errors that the daemon answers, by name,
    and DaemonUnreachable or DaemonVersionMismatch."""

    def __init__(self, socket_path: str | None = None, autostart: bool = False) -> None:
        """With `autostart` a missing daemon of this user's own is started; see ensure_daemon().

        Raises DaemonUnreachable, and with `autostart` what ensure_daemon() raises.
        """
        self.socket_path = socket_path or paths.daemon_socket()
        if not launch.is_listening(self.socket_path):
            if not autostart:
                raise self._unreachable()
            launch.ensure_daemon(self.socket_path)
        transport = httpx.HTTPTransport(uds=self.socket_path)
        self._http = httpx.Client(
            transport=transport, base_url="http://tessera", timeout=_ANSWER_LIMIT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def gpus(self) -> list[GpuUse]:
        return self._call(list[GpuUse], "GET", "/v1/gpus")

    def leases(self, ended: bool = False) -> list[Lease]:
        return self._call(list[Lease], "GET", "/v1/leases", params={"all": ended})

    def grant(self, request: LeaseRequest) -> Lease:
        """Waits for room as long as the request says."""
        body = request.model_dump(mode="json")
        limit = request.wait_seconds + _ANSWER_LIMIT
        return self._call(Lease, "POST", "/v1/leases", json=body, timeout=limit)

    def lease(self, key: str) -> Lease:
        return self._call(Lease, "GET", _route(key))

    def change(self, key: str, change: LeaseChange) -> Lease:
        body = change.model_dump(mode="json")
        return self._call(Lease, "PATCH", _route(key), json=body)

    def stats(self, key: str) -> LeaseStats:
        return self._call(LeaseStats, "GET", _route(key) + "/stats")

    def release(self, key: str, end_holder: bool = False, grace: float = 10.0) -> Lease:
        """`grace` in seconds: how long the holder may take to end before it is killed."""
        options = {"end_holder": end_holder, "grace": grace}
        return self._call(Lease, "DELETE", _route(key), params=options, timeout=grace + 60)

    def policy(self, gpu: str) -> GpuPolicy:
        return self._call(GpuPolicy, "GET", _gpu_route(gpu) + "/policy")

    def choose_policy(self, gpu: str, chosen: PolicyChange) -> GpuPolicy:
        body = chosen.model_dump(mode="json")
        return self._call(GpuPolicy, "PUT", _gpu_route(gpu) + "/policy", json=body)

    def trace(self, gpu: str, seconds: float | None = None) -> Trace:
        """`seconds`: only the latest so many; None: all that is still known."""
        options = {} if seconds is None else {"seconds": seconds}
        return self._call(Trace, "GET", _gpu_route(gpu) + "/trace", params=options)

    def usage(self) -> Usage:
        return self._call(Usage, "GET", "/v1/usage")

    def suspend_check(self, key: str) -> SuspendNeeds:
        return self._call(SuspendNeeds, "GET", _route(key) + "/suspend-check")

    def suspend(self, key: str, to: Keep = Keep.MEMORY) -> Lease:
        body = SuspendRequest(to=to).model_dump(mode="json")
        route = _route(key) + "/suspend"
        return self._call(Lease, "POST", route, json=body, timeout=_LONG)

    def resume(self, key: str, gpus: Sequence[str] = ()) -> Lease:
        """`gpus`: where to, one for each GPU of the lease; none: where it was, or where it fits."""
        body = ResumeRequest(gpus=tuple(gpus)).model_dump(mode="json")
        route = _route(key) + "/resume"
        return self._call(Lease, "POST", route, json=body, timeout=_LONG)

    def direct(self) -> DirectView:
        """What can be handed over to machines, and what is."""
        return self._call(DirectView, "GET", "/v1/direct")

    def direct_check(
        self, devices: Sequence[str], machine_memory: int = 0, without_reset: bool = False
    ) -> DirectCheck:
        """What keeps these devices from being handed over; memory in bytes."""
        options = {"device": list(devices), "machine_memory": machine_memory,
                   "without_reset": without_reset}  # fmt: skip
        return self._call(DirectCheck, "GET", "/v1/direct/check", params=options)

    def version(self) -> Version:
        return self._call(Version, "GET", "/v1/version")

    def health(self) -> Health:
        return self._call(Health, "GET", "/v1/health")

    def _call(self, kind: type[T], method: str, route: str, **options: Any) -> T:
        try:
            response = self._http.request(method, route, **options)
        except httpx.ConnectError as error:
            raise self._unreachable() from error
        except httpx.HTTPError as error:
            raise exchange.no_answer(
                self.socket_path, str(error) or type(error).__name__
            ) from error
        exchange.check_version(self.socket_path, response.headers.get(exchange.VERSION_HEADER))
        if response.is_success:
            return self._parsed(kind, response)
        raise self._error(response)

    def _unreachable(self) -> DaemonUnreachable:
        return DaemonUnreachable(
            f"No daemon listens on {self.socket_path}.",
            "Start one with `tessera daemon --background`, or see `tessera doctor`.",
        )

    def _parsed(self, kind: type[T], response: httpx.Response) -> T:
        try:
            return TypeAdapter(kind).validate_json(response.content)
        except ValidationError as error:
            why = f"{error.error_count()} fields differ"
            raise exchange.no_answer(self.socket_path, why) from error

    def _error(self, response: httpx.Response) -> TesseraError:
        try:
            named = from_wire(response.json())
        except ValueError:
            named = None
        return named or TesseraError(f"The daemon answered with status {response.status_code}.")
