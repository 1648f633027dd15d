# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the native programs, for tests of the daemon's own logic.

The fake gatekeeper keeps the real one's promises towards the daemon (arguments, ready line, sockets, quota
page, SIGTERM) and serves nobody. It has one session, which it suspends and resumes. How it misbehaves is
chosen by the files `mode` and `control-mode` beside it (`refuse` does what it refuses, `refuse-WORD` does
not). The fake arbiter makes a board that nobody uses, takes over the one that is there, and notes in
`arbiter-notes` what it was told; `arbiter-mode` chooses how it misbehaves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from ctypes import sizeof
from pathlib import Path

from tessera import native
from tessera.leases import board, quota
from tessera.model.gpu import DeviceType, Gpu

MEMORY = 4_000_000_001

EMPTY_PAGE = bytes(quota.QuotaPage(magic=quota.MAGIC, version=quota.VERSION, gpu_count=1))

# All behind it is zero.
BOARD_HEAD = bytes(board.Board(magic=board.MAGIC, version=board.VERSION, started_ns=1))[:256]

ARBITER = """#!{python} -S
import json, os, signal, sys, time
here = os.path.dirname(__file__)
mode = open(os.path.join(here, "arbiter-mode")).read().strip()
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
def note(what, told=None):
    with open(os.path.join(here, "arbiter-notes"), "a") as notes:
        notes.write(json.dumps([arguments["--gpu"], what, told]) + "\\n")
taken_over = os.path.exists(arguments["--board"])
note("start", [arguments["--policy"], arguments["--slice-us"], taken_over])
if mode == "fail":
    sys.exit("no such board")
if mode == "silent":
    time.sleep(60)
if not taken_over:
    with open(arguments["--board"], "wb", opener=lambda *_: os.open(*_, 0o600)) as page:
        page.write({head!r})
        page.truncate({size})
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGHUP, lambda *_: note("look"))
ready = int(arguments["--ready-fd"])
os.write(ready, b"nonsense\\n" if mode == "garbage" else b"ready\\n")
os.close(ready)
if mode == "short":
    sys.exit("cannot run")
while True:
    signal.pause()
"""

GATEKEEPER = """#!{python} -S
import json, os, signal, socket, struct, sys, time
mode = open(os.path.join(os.path.dirname(__file__), "mode")).read().strip()
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
gpus = [value for option, value in zip(sys.argv[1::2], sys.argv[2::2]) if option == "--gpu"]
print("mode", mode, flush=True)
if mode == "fail":
    sys.exit("no such device")
if mode == "silent":
    time.sleep(60)
def end(*_):
    os.unlink(arguments["--listen"])
    os.unlink(arguments["--quota"])
    os.unlink(arguments["--control"])
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else end)
os.umask(0o177)
page = bytearray({page!r})
def word(index, offset):
    return {gpus} + index * {gpu_size} + offset
def read_used(index):
    with open(arguments["--quota"], "rb") as quota:
        return struct.unpack_from("<Q", quota.read(), word(index, {used}))[0]
def write_limit(index, limit):
    with open(arguments["--quota"], "r+b") as quota:
        quota.seek(word(index, {limit}))
        quota.write(struct.pack("<Q", limit))
with open(arguments["--quota"], "wb") as quota:
    quota.write(page)
    quota.seek({gpu_count})
    quota.write(struct.pack("<I", len(gpus)))
for index, gpu in enumerate(gpus):
    write_limit(index, int(gpu.split(":")[2]))
listener = socket.socket(socket.AF_UNIX)
listener.bind(arguments["--listen"])
listener.listen()
control = socket.socket(socket.AF_UNIX)
control.bind(arguments["--control"])
control.listen()
def resize(words):
    pairs = list(zip(words[0::2], words[1::2]))
    if any(limit < read_used(index) for index, limit in pairs):
        return b"error below-use more is in use\\n"
    for index, limit in pairs:
        write_limit(index, limit)
    return b"ok\\n"
state = "active"
def obey(line):
    global state
    if line[0] == "resize":
        return resize([int(word) for word in line[1:]])
    if line[0] == "suspend":
        if line[1] == "disk":
            with open(os.path.join(line[2], "session-0.state"), "wb") as out:
                out.write(b"a session " * 1000)
        state = "suspended"
    if line[0] == "resume":
        state = "active"
    return (b"ok " + state.encode() if line[0] == "state" else b"ok 4096 4096 3") + b"\\n"
def serve(peer):
    told = open(os.path.join(os.path.dirname(__file__), "control-mode")).read().strip()
    line = peer.makefile().readline().split()
    if told == "deaf":
        return
    answer = None if told == "refuse-" + line[0] else obey(line)
    if told == "mute":
        return
    peer.sendall(b"error failed as told\\n" if told == "refuse" or answer is None else answer)
ready = int(arguments["--ready-fd"])
answer = b"no json" if mode == "garbage" else json.dumps({{"tcp_port": 4242}}).encode()
os.write(ready, answer + b"\\n")
os.close(ready)
while True:
    peer, _ = control.accept()
    with peer:
        serve(peer)
"""

PROBE = """#!{python} -S
import os, sys, time
mode = open(os.path.join(os.path.dirname(__file__), "probe-mode")).read().strip()
if mode == "crash":
    os.abort()
if mode == "hang":
    time.sleep(60)
if mode == "fail":
    sys.exit("libOpenCL.so.1: cannot open shared object file")
print("<html>" if mode == "garbage" else {report!r})
"""


def device(index: int = 0, **changes: object) -> dict[str, object]:
    """One device as tessera-probe prints it."""
    return {
        "index": index,
        "name": f"card {index}",
        "vendor": "Maker",
        "version": "OpenCL 3.0",
        "driver_version": "1.0",
        "type": "GPU",
        "global_mem_size": MEMORY,
        "max_mem_alloc_size": MEMORY // 4,
        "max_compute_units": 2,
        "pci_address": None,
        "uuid": None,
        "extensions": [],
        **changes,
    }


def report(*platforms: list[dict[str, object]], names: tuple[str, ...] = ()) -> dict[str, object]:
    """A report of platforms with these devices."""
    return {
        "platforms": [
            {
                "index": index,
                "name": names[index] if index < len(names) else f"platform {index}",
                "vendor": "Maker",
                "version": "OpenCL 3.0",
                "devices": devices,
            }
            for index, devices in enumerate(platforms)
        ]
    }


def gpu(number: int = 0, memory: int = MEMORY) -> Gpu:
    return Gpu(
        id=f"gpu{number}",
        name="card",
        vendor="Maker",
        type=DeviceType.GPU,
        memory=memory,
        max_allocation=memory,
        compute_units=1,
        opencl_version="OpenCL 3.0",
        driver_version="1",
        platform="platform",
        platform_index=0,
        device_index=number,
    )


def install(
    folder: Path, devices: int = 2, page: bytes = EMPTY_PAGE, addresses: Sequence[str] = ()
) -> Path:
    """Writes the fake programs into `folder`, for TESSERA_NATIVE_DIR. `addresses`: of the devices."""
    folder.mkdir(exist_ok=True)
    places = dict(enumerate(addresses))
    listed = [device(index, pci_address=places.get(index)) for index in range(devices)]
    text = json.dumps(report(listed))
    layout = quota.layout()
    programs = {
        native.ARBITER: ARBITER.format(
            python=sys.executable, head=BOARD_HEAD, size=sizeof(board.Board)
        ),
        native.GATEKEEPER: GATEKEEPER.format(
            python=sys.executable,
            page=page,
            gpu_count=layout["gpu_count"][0],
            gpus=layout["gpus"][0],
            gpu_size=sizeof(quota.GpuQuota),
            limit=layout["gpus.limit"][0],
            used=layout["gpus.used"][0],
        ),
        native.PROBE: PROBE.format(python=sys.executable, report=text),
        native.WORKER: "",
        native.CLIENT_LIBRARY: "",
        native.VM_RELAY: "",
        native.GUEST_INIT: "",
        native.GUEST_DRIVER: "",
        "mode": "well",
        "control-mode": "well",
        "probe-mode": "well",
        "arbiter-mode": "well",
    }
    for name, content in programs.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    return folder


def arbiter_notes(folder: Path) -> list[tuple[str, str, list[object] | None]]:
    """What the fake arbiters in `folder` were told: GPU, `start` or `look`, and the words of a start."""
    path = folder / "arbiter-notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(json.loads(line)) for line in lines]
