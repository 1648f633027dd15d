# SPDX-License-Identifier: Apache-2.0
"""What a tenant tries from inside of a virtual machine, as root of it: its own lease is all it reaches.

Each attempt is made beside something that could be reached were the machine less tight: another lease that
computes, a daemon, a server that listens on every address of the host, a file that anybody may read.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.host import Host
from helpers.leases import inside, lease_of
from helpers.machines import said, words
from tessera.hypervisor import base

# Of a q35 machine: the host bridge, LPC, SATA and SMBus of its chipset, virtio-serial and virtio-blk.
CHIPSET = {"8086:29c0", "8086:2918", "8086:2922", "8086:2930"}
# The last one is the memory that a machine shares with its relay.
OURS = {"1af4:1043", "1af4:1003", "1af4:1042", "1af4:1001", "1af4:1110"}


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A server on every address of this host, and what was said to it."""
    heard: list[bytes] = []
    with socket.create_server(("", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    heard.append(peer.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def addresses() -> list[str]:
    """Where the host could be met: its own addresses, and those at which hypervisors put theirs."""
    done = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True)
    return [
        "127.0.0.1",
        "10.0.2.2",
        "10.0.2.3",
        "192.168.122.1",
        "169.254.169.254",
        *done.stdout.split(),
    ]


def test_the_network_is_the_loopback_of_the_guest(vm_host: Host, image: Path) -> None:
    with listener() as (port, heard):
        with socket.create_connection(("127.0.0.1", port)) as us:
            us.sendall(b"us")
        calls = "; ".join(
            f"echo guest | nc -w 2 {address} {port} && echo reached {address}"
            for address in addresses()
        )
        done = vm_host.run(*words(image, "sh", "-c", f"ls /sys/class/net; {calls}; exit 0"))
    assert done.stdout.split() == ["lo"]
    assert heard == [b"us"]


def test_the_machine_has_no_device_but_its_own(vm_host: Host, image: Path) -> None:
    script = (
        "cd /sys/bus/pci/devices; for d in *; do echo $(cut -c3- $d/vendor):$(cut -c3- $d/device); done;"
        "ls /dev/vsock /dev/mem-of-host 2>/dev/null;"
        "mkdir /m; for kind in 9p virtiofs; do mount -t $kind host /m && echo mounted; done; exit 0"
    )
    done = vm_host.run(*words(image, "sh", "-c", script))
    assert set(done.stdout.split()) <= CHIPSET | OURS
    assert CHIPSET & set(done.stdout.split())


def test_files_and_sockets_of_the_host_are_not_there(
    vm_host: Host, image: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret of the host")
    secret.chmod(0o644)
    with lease_of(vm_host, "1/4") as other:
        endpoint = inside(vm_host, other)["TESSERA_ENDPOINT"].partition(":")[2]
        names = [str(secret), str(vm_host.socket), endpoint]
        assert all(Path(name).exists() for name in names)
        done = vm_host.run(*words(image, "ls", "-d", *names), code=1)
    assert done.stdout == ""
    assert done.stderr.count("No such file") == len(names)


def test_another_lease_cannot_be_named(vm_host: Host, image: Path) -> None:
    """A program that says it is of another lease finds no device, as there is one way out only."""
    with lease_of(vm_host, "1/2") as other:
        theirs = inside(vm_host, other)
        names = ("TESSERA_LEASE", "TESSERA_ENDPOINT", "TESSERA_TOKEN")
        forged = [f"{name}={theirs[name]}" for name in names if name in theirs]
        count = "clinfo --raw | grep -c CL_DEVICE_GLOBAL_MEM_SIZE"
        script = f"{count}; export {' '.join(forged)}; {count}; exit 0"
        done = vm_host.run(*words(image, "sh", "-c", script))
        (stats,) = vm_host.json("stats", other["name"])
    assert done.stdout.split() == ["1", "0"]
    assert stats["sessions_total"] == 0


def test_the_ports_of_the_machine_are_held_by_its_init(vm_host: Host, image: Path) -> None:
    """So that bytes without sense come from no program; what init itself sends is fuzzed and unit-tested."""
    script = "for p in /dev/vport*; do echo $p; head -c 9 /dev/urandom >$p; done; exit 0"
    done = vm_host.run(*words(image, "sh", "-c", script))
    ports = done.stdout.split()
    assert len(ports) == base.PORTS
    assert said(done.stderr).count("resource busy") == len(ports)
