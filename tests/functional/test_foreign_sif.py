# SPDX-License-Identifier: Apache-2.0
"""SIF files that Singularity's own library writes (siftool, of the format's reference implementation).

The image is laid out as Singularity lays one out: a definition, labels, a signature and the like beside the
root file system, variables and the program in files of the image.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import roots
from helpers.host import Host
from helpers.leases import real_host
from helpers.machines import words

_FINGERPRINT = "433FE984155206BD962725E20E8713472A879943"
# Every kind of object that the tool writes: its code there, what Tessera calls it, and what belongs to it.
OBJECTS = (
    (1, "definition", ()),
    (2, "environment", ()),
    (3, "labels", ()),
    (4, "primary squashfs x86_64", ("--parttype", "2", "--partfs", "1", "--partarch", "2")),
    (5, "signature", ("--signentity", _FINGERPRINT, "--signhash", "1", "--link", "4")),
    (6, "JSON", ()),
    (7, "data", ()),
    (9, "SBOM", ("--sbomformat", "spdx-json")),
)


def siftool(*arguments: str) -> str:
    done = subprocess.run(
        [roots.need("siftool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    root = roots.fill_root(folder / "root", ["clinfo"])
    (root / ".singularity.d/env").mkdir(parents=True)
    (root / ".singularity.d/env/10-first.sh").write_text("FIRST=one\nexport FIRST\n")
    (root / ".singularity.d/env/90-later.sh").write_text('export LATER="after $FIRST"\n')
    runscript = root / ".singularity.d/runscript"
    runscript.write_text('#!/bin/sh\necho "ran with $LATER"\nexit 7\n')
    runscript.chmod(0o755)
    packed = roots.squash(root, folder / "root.squashfs")
    plain = folder / "plain.txt"
    plain.write_text("Bootstrap: scratch\n")
    path = folder / "foreign.sif"
    siftool("new", str(path))
    for kind, _, facts in OBJECTS:
        content = packed if kind == 4 else plain
        siftool("add", str(path), str(content), "--datatype", str(kind), *facts)
    return path


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def descriptors(shown: Any) -> list[str]:
    return [one["type"] for one in shown["sif"]["descriptors"]]


def test_every_object_is_listed(host: Host, foreign: Path) -> None:
    assert len(descriptors(host.json("image", "show", str(foreign)))) == len(OBJECTS)
    host.run("image", "add", str(foreign), "--name", "theirs")
    assert host.run("image", "verify", "theirs").stdout.split()[-1] == "whole"


def test_its_program_runs_with_its_variables(host: Host, foreign: Path) -> None:
    run = ("run", "--sandbox", "--image", str(foreign), "-f", "1/4")
    assert host.run(*run, code=7).stdout == "ran with after one\n"
    named = host.run(*run, "--", "sh", "-c", 'echo "$LATER" "$1"', "sh", "a  b").stdout
    assert named == "after one a  b\n"
    assert "Tessera" in host.run(*run, "--", "clinfo", "--raw").stdout
    (ps,) = [one for one in host.json("ps", "--all") if one["command"][:1] == ["clinfo"]]
    assert ps["command"] == ["clinfo", "--raw"]


def test_it_runs_in_a_machine(host: Host, foreign: Path) -> None:
    ran = ("run", "--vm", "--image", str(foreign), "-f", "1/4")
    assert host.run(*ran, code=7).stdout == "ran with after one\n"
    seen = host.run(*words(foreign, "clinfo", "--raw")).stdout
    assert "#PLATFORMS                                        1\n" in seen


def test_the_tool_reads_what_tessera_writes(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    host.run("image", "build", "ours", "--folder", str(source), "--cmd", "cat /file")
    path = host.json("image", "show", "ours")["path"]
    listed = siftool("list", path)
    assert "Squashfs/*System" in listed
    assert "JSON.Generic" in listed
    assert '"cat"' in siftool("dump", "1", path)
