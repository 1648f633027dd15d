# SPDX-License-Identifier: Apache-2.0
"""Every error that Tessera names, with its exit code and HTTP status.

    TesseraError                      exit 1, HTTP 500
    +-- UsageError                    exit 2, HTTP 422
    |   +-- InvalidFraction
    |   +-- InvalidMemory
    |   +-- InvalidName
    |   +-- InvalidImageName
    |   +-- InvalidMount
    |   +-- InvalidPolicy
    |   +-- InvalidTimeSlice
    |   +-- InvalidDirectDevice
    |   +-- InvalidRequest
    +-- NotFoundError                 exit 3, HTTP 404
    |   +-- LeaseNotFound
    |   +-- GpuNotFound
    |   +-- DirectDeviceNotFound
    |   +-- ProgramNotFound
    |   +-- ImageNotFound
    |   +-- RouteNotFound
    +-- ConflictError                 exit 4, HTTP 409
    |   +-- NoCapacity
    |   |   +-- NoGpu
    |   |   +-- GpuInDirectUse
    |   |   +-- QueueFull
    |   |   +-- WaitTimedOut
    |   +-- ResizeBelowUse
    |   +-- WaitEnded
    |   +-- NameInUse
    |   +-- ImageNameInUse
    |   +-- InvalidTransition
    |   +-- LeaseNotActive
    |   +-- GpuNotInUse
    |   +-- AlreadySuspended
    |   +-- NotSuspended
    |   +-- SuspendUnsupported
    |   +-- ResumeRefused
    |   +-- DeviceLacksFeature
    |   +-- DirectRefused
    |   +-- DirectUnsupported
    |   +-- DaemonAlreadyRunning
    +-- NotPermitted                  exit 1, HTTP 403
    +-- ImageError                    exit 1, HTTP 422
    |   +-- NotAnImage
    |   +-- ImageDamaged
    |   +-- ImageHostile
    |   +-- ImageTooLarge
    |   +-- ImageUnsupported
    |       +-- ImageEncrypted
    |       +-- ImageOfOtherArchitecture
    +-- UnreachableError              exit 5, HTTP 503
    |   +-- DaemonUnreachable
    |   +-- DaemonStartFailed
    |   +-- DaemonStopping
    |   +-- DaemonVersionMismatch
    +-- HostError                     exit 1, HTTP 500
        +-- NativeProgramMissing
        +-- ToolMissing
        +-- ImageBuildFailed
        +-- SandboxUnavailable
        +-- SandboxFailed
        +-- ProgramNotExecutable
        +-- RuntimeFolderUnusable
        +-- DiskFull
        +-- ProbeFailed
        |   +-- ProbeTimedOut
        |   +-- ProbeCrashed
        +-- GatekeeperFailed
        +-- ArbiterFailed
        +-- SuspendFailed
        +-- StateFileDamaged
        +-- StateFileOtherVersion
        +-- ControlFailed
        |   +-- ControlRefused
        +-- QuotaPageUnreadable
        +-- BoardUnreadable
        +-- HypervisorMissing
        +-- GuestKernelMissing
        +-- MachineFailed
        |   +-- GuestDidNotBoot
        |   +-- GuestFailed
        +-- DirectFailed
        |   +-- GiveBackFailed
        +-- StoreError
            +-- StoreUnreachable
            +-- StoreTooNew

Each error says what happened (`message`) and what to do next (`hint`). It travels through the REST API
as `{"error": {"name", "message", "hint", "exit_code"}}` and comes out of the client as the same class.
No third-party import here: the fast path of `tessera run` raises these too.
"""

from __future__ import annotations

# typing and collections.abc cost milliseconds at run time, and only type checkers need them.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class TesseraError(Exception):
    """Base of all named errors; itself raised only for an error that this version does not know."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def name(self) -> str:
        return type(self).__name__

    def to_wire(self) -> dict[str, dict[str, str | int]]:
        return {
            "error": {
                "name": self.name,
                "message": self.message,
                "hint": self.hint,
                "exit_code": self.exit_code,
            }
        }


class UsageError(TesseraError):
    """What was asked for makes no sense on any host."""

    exit_code = 2
    http_status = 422


class InvalidFraction(UsageError):
    """A fraction outside (0, 1], or no fraction at all."""


class InvalidMemory(UsageError):
    """A memory size that is not a positive number of bytes."""


class InvalidName(UsageError):
    """A lease name with characters that would not survive a shell or a URL."""


class InvalidPolicy(UsageError):
    """No policy by which leases share a GPU has this name."""


class InvalidTimeSlice(UsageError):
    """A time slice that is no duration, or is outside 1 to 30 ms."""


class InvalidRequest(UsageError):
    """A request body that does not have the documented form."""


class InvalidDirectDevice(UsageError):
    """Neither a PCI address nor another way to name a device that a machine could have."""


class InvalidImageName(UsageError):
    """An image's name or digest with characters that such have not."""


class InvalidMount(UsageError):
    """Something of the host that cannot be mounted at that place of a sandbox."""


class NotFoundError(TesseraError):
    """The thing named does not exist."""

    exit_code = 3
    http_status = 404


class LeaseNotFound(NotFoundError):
    """No lease has this id or name."""


class GpuNotFound(NotFoundError):
    """This host has no GPU with this id."""


class DirectDeviceNotFound(NotFoundError):
    """This host has no such device that a machine could have."""


class ProgramNotFound(NotFoundError):
    """The workload's program is not on the search path."""


class ImageNotFound(NotFoundError):
    """No image has this name or digest, and no file is there."""


class RouteNotFound(NotFoundError):
    """The daemon has no such path in its REST API."""


class ConflictError(TesseraError):
    """The request is sound but clashes with what is there now."""

    exit_code = 4
    http_status = 409


class NoCapacity(ConflictError):
    """The slice does not fit beside the leases that are there."""


class NoGpu(NoCapacity):
    """This host offers no device at all."""


class GpuInDirectUse(NoCapacity):
    """What would have room is handed over to a machine."""


class QueueFull(NoCapacity):
    """The slice does not fit now, and as many requests wait already as the daemon keeps."""


class WaitTimedOut(NoCapacity):
    """The slice did not fit for as long as the request was to wait."""


class WaitEnded(ConflictError):
    """Somebody stopped the request while it waited, or who asked for it is gone."""


class ResizeBelowUse(ConflictError):
    """More of a lease's memory is in use than it was to keep."""


class NameInUse(ConflictError):
    """A live lease has this name."""


class ImageNameInUse(ConflictError):
    """Another image has this name."""


class InvalidTransition(ConflictError):
    """The lease's state machine has no such step."""


class LeaseNotActive(ConflictError):
    """The lease has no gatekeeper that could answer."""


class GpuNotInUse(ConflictError):
    """The GPU has no leases, so nothing is known of who holds it."""


class AlreadySuspended(ConflictError):
    """The lease is suspended, or on its way there."""


class NotSuspended(ConflictError):
    """The lease is not suspended, so there is nothing to resume."""


class SuspendUnsupported(ConflictError):
    """The program uses something that cannot be written down; nothing was changed."""


class ResumeRefused(ConflictError):
    """The saved state does not fit where it was to be resumed; it is whole."""


class DeviceLacksFeature(ConflictError):
    """The GPU cannot do what the program was told; the saved state is whole."""


class DirectRefused(ConflictError):
    """Something keeps the devices from being handed over; nothing was changed."""


class DirectUnsupported(ConflictError):
    """What was asked of a direct lease is for leases that go through a worker."""


class DaemonAlreadyRunning(ConflictError):
    """Another daemon holds the lock of this runtime folder."""


class NotPermitted(TesseraError):
    """The lease, or the process named as its holder, belongs to another user."""

    http_status = 403


class ImageError(TesseraError):
    """What was offered as a container image cannot be one here; nothing of it was kept."""

    http_status = 422


class NotAnImage(ImageError):
    """Neither a SIF file nor an OCI image layout."""


class ImageDamaged(ImageError):
    """Cut short, or its parts contradict each other or their digests."""


class ImageHostile(ImageError):
    """It holds what no honest image needs: paths that lead outside, device nodes, loops."""


class ImageTooLarge(ImageError):
    """It has, or claims, more bytes or files than allowed."""


class ImageUnsupported(ImageError):
    """A sound image of a kind that Tessera does not run."""


class ImageEncrypted(ImageUnsupported):
    """Its file system is encrypted."""


class ImageOfOtherArchitecture(ImageUnsupported):
    """Its programs are for another processor."""


class UnreachableError(TesseraError):
    """No daemon that could answer."""

    exit_code = 5
    http_status = 503


class DaemonUnreachable(UnreachableError):
    """Nobody answers on the daemon's socket, or what answers is no daemon."""


class DaemonStartFailed(UnreachableError):
    """A daemon was started and ended, or did not get ready in time."""


class DaemonStopping(UnreachableError):
    """The daemon ended while the request waited for room; the next one can be asked again."""


class DaemonVersionMismatch(UnreachableError):
    """The daemon that answers is of another version of Tessera."""


class HostError(TesseraError):
    """Something on this host is missing or broken."""


class NativeProgramMissing(HostError):
    """A native program or library of Tessera is not installed."""


class ToolMissing(HostError):
    """A program of the system that images or sandboxes need is not installed."""


class ImageBuildFailed(HostError):
    """A tool that makes an image failed."""


class SandboxUnavailable(HostError):
    """The host does not let this user make a sandbox."""


class SandboxFailed(HostError):
    """The sandbox could not be made, or lost a part that it needs; nothing of it is left."""


class ProgramNotExecutable(HostError):
    """The workload's program is there but the kernel refuses to run it."""


class RuntimeFolderUnusable(HostError):
    """The runtime or state folder cannot be written, or is not private to this user."""


class DiskFull(HostError):
    """No space for the daemon's own files."""


class ProbeFailed(HostError):
    """tessera-probe did not list the devices."""


class ProbeTimedOut(ProbeFailed):
    """tessera-probe hangs, most likely inside a driver."""


class ProbeCrashed(ProbeFailed):
    """tessera-probe was killed by a signal, most likely inside a driver."""


class GatekeeperFailed(HostError):
    """The gatekeeper of a lease did not get ready."""


class ArbiterFailed(HostError):
    """The arbiter of a GPU did not get ready."""


class ControlFailed(HostError):
    """The gatekeeper of a lease did not answer a command of the daemon."""


class ControlRefused(ControlFailed):
    """The gatekeeper answered with an error. `cause` is its word for programs, `text` its reason."""

    def __init__(self, message: str, hint: str = "", cause: str = "", text: str = "") -> None:
        super().__init__(message, hint)
        self.cause = cause
        self.text = text


class SuspendFailed(HostError):
    """The state could not be written, most likely for want of space; the lease goes on."""


class StateFileDamaged(HostError):
    """The saved state was changed, cut short or removed; no GPU was touched."""


class StateFileOtherVersion(HostError):
    """The saved state has a format that this version of Tessera does not read."""


class QuotaPageUnreadable(HostError):
    """The quota page is missing, cut short, or of another version."""


class BoardUnreadable(HostError):
    """The board of a GPU is missing, cut short, or of another version."""


class HypervisorMissing(HostError):
    """The program that runs virtual machines is not installed."""


class GuestKernelMissing(HostError):
    """There is no kernel that a virtual machine could start."""


class MachineFailed(HostError):
    """A virtual machine did not start, or ended before its program did."""


class GuestDidNotBoot(MachineFailed):
    """The guest's kernel, or Tessera's init in it, said nothing in the time it had."""


class GuestFailed(MachineFailed):
    """The guest runs but could not prepare what its program needs."""


class DirectFailed(HostError):
    """The kernel refused a step of handing a device over; what was changed was undone."""


class GiveBackFailed(DirectFailed):
    """A device could not be given back to its former driver."""


class StoreError(HostError):
    """The database refused an operation."""


class StoreUnreachable(StoreError):
    """The database cannot be opened."""


class StoreTooNew(StoreError):
    """The database was written by a newer Tessera."""


def all_errors(base: type[TesseraError] = TesseraError) -> Iterator[type[TesseraError]]:
    """Yields `base` and every class below it, parents first."""
    yield base
    for child in base.__subclasses__():
        yield from all_errors(child)


def from_wire(body: object) -> TesseraError | None:
    """The error inside a decoded response body, or None if the body holds none."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), dict):
        return None
    fields: dict[object, object] = body["error"]
    message, hint = str(fields.get("message", "")), str(fields.get("hint", ""))
    for cls in all_errors():
        if cls.__name__ == fields.get("name"):
            return cls(message, hint)
    unknown = TesseraError(message, hint)
    code = fields.get("exit_code")
    if isinstance(code, int):
        unknown.exit_code = code
    return unknown
