# SPDX-License-Identifier: Apache-2.0
"""`python -m tessera.bench.allocate`: takes device memory until the device says no.

A plain pyopencl program, started in a lease to show the lease's limit. Every buffer is written by
the device, so that what counts as granted is memory that is really there. It prints one JSON
object.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

MIB = 1024 * 1024
LARGEST = 256 * MIB
SMALLEST = MIB


@dataclass(frozen=True)
class Refusal:
    """What was granted in all and the request that was not, in bytes; the API's error."""

    device_memory: int
    granted: int
    refused: int
    error: str


def allocate_until_refused() -> Refusal:
    """Halves the request at each refusal, down to 1 MiB. Raises RuntimeError if none comes."""
    import pyopencl as cl

    device = cl.get_platforms()[0].get_devices()[0]
    queue = cl.CommandQueue(cl.Context([device]))
    kept: list[Any] = []
    granted, size, error = 0, LARGEST, ""
    # A device without a limit would go on for ever, and take the host's memory with it.
    while size >= SMALLEST and granted <= 2 * device.global_mem_size:
        try:
            kept.append(_buffer(cl, queue, size))
            granted += size
        except (cl.Error, MemoryError) as refused:
            error, size = _error_name(cl, refused), size // 2
    if size >= SMALLEST:
        raise RuntimeError(f"{granted} bytes were granted and nothing was refused")
    return Refusal(device.global_mem_size, granted, SMALLEST, error)


def _buffer(cl: Any, queue: Any, size: int) -> Any:
    buffer = cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, size)
    cl.enqueue_fill_buffer(queue, buffer, b"\1", 0, size).wait()
    return buffer


def _error_name(cl: Any, error: BaseException) -> str:
    code = getattr(error, "code", None)
    if code is None:
        return str(error)
    return f"CL_{cl.status_code.to_string(code)} ({code})"


if __name__ == "__main__":
    print(json.dumps(asdict(allocate_until_refused())))
    sys.exit(0)
