# SPDX-License-Identifier: Apache-2.0
"""Runs inside of the nested host (tests/helpers/nested.py): Tessera hands devices over to machines in it.

It judges nothing: what was seen is printed, a line of JSON for each step, and the test outside compares.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TESSERA = (sys.executable, "-P", "-m", "tessera")
PCI = Path("/sys/bus/pci/devices")
SOCKET = Path("/run/tessera/tesserad.sock")
LIMIT = 1500.0
KVM_GROUP = 104
MODULES = ("/uio.ko", "/uio_pci_generic.ko")


def say(step: str, **facts: object) -> None:
    print(json.dumps({"step": step, **facts}), flush=True)


def text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""


def find(vendor: str, device: str) -> list[str]:
    """The addresses of functions, virtual ones apart."""
    return [
        folder.name
        for folder in sorted(PCI.iterdir())
        if (text(folder / "vendor"), text(folder / "device")) == (vendor, device)
        and not (folder / "physfn").exists()
    ]


def driver(address: str) -> str | None:
    link = PCI / address / "driver"
    return os.path.basename(os.readlink(link)) if link.is_symlink() else None


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not in {LIMIT:g} s: {what}")
        time.sleep(0.2)


def tessera(*words: str) -> dict[str, object]:
    done = subprocess.run(
        [*TESSERA, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return {"code": done.returncode, "out": done.stdout, "errors": done.stderr}


def start_daemon() -> subprocess.Popen[bytes]:
    with open("/tmp/daemon.log", "ab") as log:
        daemon = subprocess.Popen([*TESSERA, "daemon"], stdout=log, stderr=log)
    until(SOCKET.exists, "the daemon listens")
    return daemon


def machine(*words: str) -> subprocess.Popen[str]:
    line = [*TESSERA, "run", "--vm", "--guest-memory", "192MiB", *words]
    return subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def hand_over_both(edus: list[str]) -> None:
    both = ",".join(edus)
    say("check", **tessera("direct", "check", both))
    script = f"guest_edu {' '.join(MODULES)}; code=$?; echo code $code; read line; exit $code"
    command = machine("--direct", both, "--name", "both", "--image", "/images/edu.sif", "--", "sh", "-c", script)  # fmt: skip
    until(lambda: all(driver(each) == "vfio-pci" for each in edus), "both are bound")
    say("bound", drivers=[driver(each) for each in edus])
    say("third", **tessera("run", "--vm", "--direct", edus[0], "--image", "/images/edu.sif", "--", "true"))  # fmt: skip
    say("suspend", **tessera("suspend", "both"))
    say("leases", **tessera("ps", "-o", "json"))
    assert command.stdout
    lines = []
    for line in command.stdout:
        lines.append(line.strip())
        if line.startswith("code"):
            break
    nodes = {node.name: node.stat().st_uid for node in Path("/dev/vfio").iterdir()}
    out, errors = command.communicate("\n")
    say("computed", lines=lines, out=out, errors=errors, code=command.returncode, nodes=nodes)
    until(lambda: not leases(), "the lease is over")
    say("after", drivers=[driver(each) for each in edus], nodes=sorted(os.listdir("/dev/vfio")))


def leases() -> list[object]:
    found: list[object] = json.loads(str(tessera("ps", "-o", "json")["out"]))
    return found


def kill_everybody(edus: list[str], daemon: subprocess.Popen[bytes]) -> None:
    command = machine("--direct", edus[0], "--image", "/images/edu.sif", "--", "true")
    until(lambda: driver(edus[0]) == "vfio-pci" and qemus(), "its machine runs")
    daemon.kill()
    command.kill()
    daemon.wait()
    command.wait()
    until(lambda: not qemus(), "QEMU is gone")
    say("killed", driver=driver(edus[0]))
    SOCKET.unlink(missing_ok=True)
    start_daemon()
    say("next daemon", leases=leases(), driver=driver(edus[0]))


def qemus() -> list[str]:
    return [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and text(entry / "comm").startswith("qemu")
    ]


def hand_over_pieces() -> None:
    (card,) = find("0x1b36", "0x0010")
    subprocess.run(["modprobe", "mtty"], check=True)
    say("types", **tessera("direct", "list", "-o", "json"))
    wanted = f"{card}/vf,mtty/mtty-1"
    done = machine("--direct", wanted, "--without-reset", "--image", "/images/edu.sif", "--", "guest_pieces")  # fmt: skip
    out, errors = done.communicate()
    say("pieces", out=out, errors=errors, code=done.returncode)
    until(lambda: not leases(), "the lease is over")
    numbers = text(PCI / card / "sriov_numvfs")
    mediated = os.listdir("/sys/bus/mdev/devices")
    say("pieces after", virtual=numbers, mediated=mediated, driver=driver(card))


def main() -> None:
    subprocess.run(["modprobe", "-a", "uio_pci_generic", "kvm-amd"], check=True)
    # As udev does, where there is one.
    os.chown("/dev/kvm", 0, KVM_GROUP)
    os.chmod("/dev/kvm", 0o660)
    Path("/sys/bus/pci/drivers/uio_pci_generic/new_id").write_text("1234 11e8")
    edus = find("0x1234", "0x11e8")
    say("devices", edus=edus, drivers=[driver(each) for each in edus])
    daemon = start_daemon()
    try:
        say("list", **tessera("direct", "list", "-a", "-o", "json"))
        hand_over_both(edus)
        kill_everybody(edus, daemon)
        hand_over_pieces()
    finally:
        say("daemon", log=text(Path("/tmp/daemon.log"))[-3000:])
    os.kill(int(text(SOCKET.with_name("tesserad.pid")) or 0), signal.SIGTERM)


try:
    main()
    say("end")
except BaseException:  # noqa: BLE001 - whatever it was, the test outside is to tell it
    say("broken", why=traceback.format_exc())
