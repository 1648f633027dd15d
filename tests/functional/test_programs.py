# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of Tessera: the same results as on the bare device."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, installed, run_bare, run_leased
from tessera import __version__

HASHCAT_CRACKED = 0
CLPEAK_PARTS = [
    pytest.param("--kernel-latency"),
    pytest.param("--transfer-bandwidth", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def needed(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is not installed: run `make setup`."
    return path


def fact(raw: str, name: str) -> list[str]:
    """Values of one parameter in the output of `clinfo --raw`, one for each device or platform."""
    lines = re.findall(rf"^(?:\S*\s+)?{name}\s+(.*)$", raw, re.MULTILINE)
    return [line.strip() for line in lines]


def test_clinfo_shows_one_platform_with_one_device_of_a_quarter(host: Host) -> None:
    bare = run_bare(needed("clinfo"), "--raw").stdout
    script = "clinfo --raw; echo lease $TESSERA_LEASE"
    leased = run_leased(host, "sh", "-c", script)
    assert leased.returncode == 0, leased.stderr
    assert fact(leased.stdout, "#PLATFORMS") == ["1"]
    assert fact(leased.stdout, "CL_PLATFORM_NAME")[0] == "Tessera"
    assert fact(leased.stdout, "#DEVICES") == ["1"]
    whole = int(fact(bare, "CL_DEVICE_GLOBAL_MEM_SIZE")[0])
    assert fact(leased.stdout, "CL_DEVICE_GLOBAL_MEM_SIZE") == [str(whole // 4)]
    for same in ("CL_DEVICE_NAME", "CL_DEVICE_MAX_COMPUTE_UNITS", "CL_DRIVER_VERSION"):
        assert fact(leased.stdout, same) == fact(bare, same)


# Whose names, and which of them.
NAMES = ("CL_PLATFORM_NAME", "CL_PLATFORM_VENDOR", "CL_PLATFORM_VERSION")


def names(raw: str) -> list[str]:
    return [fact(raw, name)[0] for name in NAMES]


def test_a_lease_is_named_tessera_or_as_its_device_is(host: Host) -> None:
    bare = run_bare(needed("clinfo"), "--raw").stdout
    plain = run_leased(host, "clinfo", "--raw")
    lent = run_leased(host, "clinfo", "--raw", options=("-f", "1/4", "--identity", "device"))
    assert (plain.stderr, lent.stderr) == ("", "")
    assert names(plain.stdout) == ["Tessera", "Tessera", f"OpenCL 3.0 Tessera {__version__}"]
    assert names(lent.stdout) == names(bare)
    assert "Tessera" not in " ".join(names(bare))
    # The names change and nothing else: one platform, the lease's memory, extensions and functions.
    assert fact(lent.stdout, "#PLATFORMS") == ["1"]
    named = re.compile("|".join(NAMES))
    for one, other in zip(plain.stdout.splitlines(), lent.stdout.splitlines(), strict=True):
        assert one == other or named.search(one), (one, other)


def test_an_identity_that_is_none_is_named_and_the_program_goes_on(host: Host) -> None:
    done = run_leased(host, "env", "TESSERA_IDENTITY=pigeon", needed("clinfo"), "--raw")
    assert done.returncode == 0
    assert "TESSERA_IDENTITY is 'pigeon'" in done.stderr
    assert names(done.stdout)[0] == "Tessera"


def test_the_memory_that_clinfo_shows_is_that_of_the_lease(host: Host) -> None:
    with host.start("run", "-f", "1/4", "-n", "seen", "--", "sleep", "60") as sleeper:
        try:
            lease = wait_for_lease(host, "seen")
            script = "clinfo --raw | sed -n 's/.*CL_DEVICE_GLOBAL_MEM_SIZE *//p'"
            shown = run_leased(host, "sh", "-c", script).stdout
            assert int(shown) == lease["gpus"][0]["memory"]
        finally:
            sleeper.kill()


def wait_for_lease(host: Host, name: str) -> dict[str, list[dict[str, int]]]:
    for _ in range(200):
        found = host.run("show", name, "-o", "json", code=None)
        if found.returncode == 0:
            lease: dict[str, list[dict[str, int]]] = host.json("show", name)
            return lease
    raise AssertionError(host.log)


def test_headers_are_found_in_folders_that_the_program_names_its_own_way(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "seven.h").write_text("#define SEVEN 7\n")
    script = (
        "import pyopencl as cl, pyopencl.array as a\n"
        "context = cl.create_some_context(interactive=False)\n"
        "queue = cl.CommandQueue(context)\n"
        "source = '#include \"seven.h\"\\nkernel void k(global int *p) { *p = SEVEN; }'\n"
        "program = cl.Program(context, source).build(['-I', FOLDER])\n"
        "out = a.zeros(queue, 1, 'int32')\n"
        "program.k(queue, (1,), None, out.data)\n"
        "print(out.get()[0])\n"
    )
    for folder in (".", str(tmp_path / "headers")):
        words = (sys.executable, "-c", script.replace("FOLDER", repr(folder)))
        cwd = tmp_path / "headers"
        assert run_leased(host, *words, cwd=cwd).stdout == "7\n", folder
        assert run_bare(*words, cwd=cwd).stdout == "7\n", folder


@pytest.mark.parametrize("part", CLPEAK_PARTS)
def test_clpeak_runs_to_its_end(host: Host, part: str) -> None:
    done = run_leased(host, needed("clpeak"), part)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Platform: Tessera" in done.stdout
    names = re.compile(r"^\s+([A-Za-z][\w ()-]*?)\s*:\s[\d.]+", re.MULTILINE)
    bare = run_bare("clpeak", part).stdout
    assert names.findall(done.stdout) == names.findall(bare)


@pytest.mark.slow
def test_all_of_clpeak_runs_to_its_end(host: Host) -> None:
    done = run_leased(host, needed("clpeak"), limit=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Kernel launch latency" in done.stdout


def hashcat(run: Run, folder: Path, digest: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    options = ["-D", "1", "-m", "0", "--force", "--quiet", "-a", "3"]
    own = ("--session", folder.name, "--potfile-path", str(folder / "potfile"))
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    command = (needed("hashcat"), *options, *own, digest, "?l?l?l?l")
    return run(*command, environment=home, cwd=folder)


@pytest.mark.slow  # its kernels take the embedded device two minutes to compile
def test_hashcat_cracks_what_it_cracks_on_the_bare_device(host: Host, tmp_path: Path) -> None:
    digest = hashlib.md5(b"tile", usedforsecurity=False).hexdigest()
    bare = hashcat(run_bare, tmp_path / "bare", digest)
    leased = hashcat(lambda *a, **k: run_leased(host, *a, **k), tmp_path / "leased", digest)
    assert f"{digest}:tile" in leased.stdout, leased.stdout + leased.stderr
    assert (leased.returncode, leased.stdout) == (bare.returncode, bare.stdout)
    assert leased.returncode == HASHCAT_CRACKED


@pytest.mark.slow
def test_hcxkeys_derives_the_keys_that_the_standard_says(host: Host, tmp_path: Path) -> None:
    """PBKDF2 of IEEE 802.11i, 4,096 rounds of HMAC-SHA1: Python's own library knows the right answers."""
    passwords = [f"tile number {n}" for n in range(300)]
    (tmp_path / "words").write_text("".join(f"{word}\n" for word in passwords))
    program = installed("wlangenpmkocl", "hcxkeys")
    options = ("-e", "tessera", "-i", str(tmp_path / "words"), "-a", str(tmp_path / "keys"))
    done = run_leased(host, program, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "keys").read_text().split() == [
        hashlib.pbkdf2_hmac("sha1", word.encode(), b"tessera", 4096, 32).hex() for word in passwords
    ]
