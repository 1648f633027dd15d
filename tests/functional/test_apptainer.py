# SPDX-License-Identifier: Apache-2.0
"""Real Apptainer: the images that it builds run here, and containers that it starts have their lease.

Debian 12 has no Apptainer, so a root of a later Debian is made that has one, and Apptainer runs in it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from helpers import roots
from helpers.host import Host
from helpers.leases import real_host
from helpers.machines import said, words

pytestmark = pytest.mark.slow

SUITE = "sid"
PACKAGES = "apptainer,fuse3,squashfs-tools,squashfuse,tzdata"
DEFINITION = """Bootstrap: localimage
From: /image/root
%environment
  export MOOD=fine
%runscript
  echo "ran $# $1 in a $MOOD mood"
  exit 7
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a Debian with Apptainer."""
    root = tmp_path_factory.mktemp("apptainer") / "root"
    # A mirror may be older than the list says of itself.
    command = [roots.need("mmdebstrap"), "--aptopt=Acquire::Check-Valid-Until false"]
    command += ["--variant=apt", f"--include={PACKAGES}", SUITE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("hosts", "resolv.conf"):
        (root / "etc" / name).touch()
    (root / "image").mkdir()
    roots.fill_root(root / "image/root", ["clinfo"])
    (root / "image/definition").write_text(DEFINITION)
    return root


def apptainer(root: Path, *arguments: str, seen: Sequence[Path] = ()) -> list[str]:
    """Apptainer with these arguments as a user of its own, who sees these folders of this host."""
    command = [roots.need("bwrap"), "--unshare-user", "--uid", "0", "--gid", "0"]
    command += ["--bind", str(root), "/", "--proc", "/proc", "--dev-bind", "/dev", "/dev"]
    command += ["--ro-bind", "/sys", "/sys", "--tmpfs", "/tmp", "--die-with-parent"]
    for folder in seen:
        command += ["--bind", str(folder), str(folder)]
    return [*command, "env", "HOME=/tmp", "apptainer", *arguments]


@pytest.fixture(scope="module")
def built(elsewhere: Path) -> Path:
    """An image that Apptainer built."""
    command = apptainer(elsewhere, "build", "/image/built.sif", "/image/definition")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return elsewhere / "image/built.sif"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def test_its_images_are_read_whole(host: Host, built: Path) -> None:
    host.run("image", "add", str(built), "--name", "built")
    assert host.run("image", "verify", "built").stdout.split()[-1] == "whole"


def test_its_images_run_in_a_sandbox_with_their_variables_and_runscript(
    host: Host, built: Path
) -> None:
    command = ("run", "--sandbox", "--image", str(built), "--fraction", "1/4")
    assert host.run(*command, code=7).stdout == "ran 0  in a fine mood\n"
    assert host.run(*command, "--", "sh", "-c", "echo $MOOD").stdout == "fine\n"


def test_its_images_run_in_a_machine(vm_host: Host, built: Path) -> None:
    done = vm_host.run(*words(built, "sh", "-c", "echo $MOOD; clinfo --raw"))
    assert done.stdout.startswith("fine\n"), said(done.stderr)
    assert "#PLATFORMS                                        1\n" in done.stdout


def test_its_containers_have_the_lease_of_the_command_before_them(
    host: Host, elsewhere: Path, built: Path
) -> None:
    (gpu,) = host.json("gpus")
    inside = f"/{built.relative_to(elsewhere)}"
    seen = [host.runtime, Path(__file__).resolve().parents[2]]
    container = apptainer(elsewhere, "exec", "--userns", inside, "clinfo", "--raw", seen=seen)
    done = host.run("run", "--fraction", "1/4", "--", *container)
    facts = [line.split(None, 2) for line in done.stdout.splitlines()]
    values = {fact[1]: fact[2] for fact in facts if len(fact) == 3 and fact[0].startswith("[TESS")}
    assert "#PLATFORMS                                        1\n" in done.stdout
    assert values["CL_PLATFORM_NAME"] == "Tessera"
    assert int(values["CL_DEVICE_GLOBAL_MEM_SIZE"]) == gpu["memory"] // 4
