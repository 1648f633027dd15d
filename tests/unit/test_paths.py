# SPDX-License-Identifier: Apache-2.0
"""The daemon's files are where the documentation says, and only where nobody else can write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tessera import paths
from tessera.leases import environment
from tessera.model.errors import RuntimeFolderUnusable


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TESSERA_RUNTIME_DIR", "TESSERA_STATE_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_folders_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert paths.runtime_folder() == "/run/tessera"
    assert paths.state_folder() == "/var/lib/tessera"


def test_folders_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert paths.runtime_folder() == "/tmp/tessera-1234"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1234")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert paths.runtime_folder() == "/run/user/1234/tessera"
    assert paths.state_folder() == "/home/u/state/tessera"


def test_chosen_folders_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_RUNTIME_DIR", "relative")
    assert paths.runtime_folder() == os.path.abspath("relative")
    assert paths.daemon_socket() == os.path.abspath("relative/tesserad.sock")


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RuntimeFolderUnusable, match="another user") as refusal:
        paths.make_private_folder(str(folder))
    assert "chmod 700" in refusal.value.hint


def test_a_link_and_a_file_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(RuntimeFolderUnusable):
            paths.make_private_folder(str(tmp_path / name))


def test_native_programs_get_an_allow_list() -> None:
    source = {
        "PATH": "/bin",
        "POCL_CACHE_DIR": "/c",
        "OCL_ICD_VENDORS": "/v",
        "LD_PRELOAD": "evil.so",
        "TESSERA_ENDPOINT": "shm:/x",
        "TESSERA_IDENTITY": "device",
        "TESSERA_TOKEN": "secret",
        "AWS_SECRET": "s",
    }
    kept = environment.for_native_programs(source)
    assert set(kept) == {"PATH", "POCL_CACHE_DIR", "OCL_ICD_VENDORS", "GLIBC_TUNABLES"}


def test_a_daemon_started_inside_a_lease_sees_the_host() -> None:
    inside = {
        "OCL_ICD_VENDORS": "/run/tessera/leases/1/vendors",
        "TESSERA_LEASE": "1",
        "TESSERA_ENDPOINT": "shm:/x",
        "TESSERA_IDENTITY": "device",
        "HOME": "/root",
    }
    assert environment.for_daemon(inside) == {"HOME": "/root"}
    assert environment.for_daemon({"OCL_ICD_VENDORS": "/v"}) == {"OCL_ICD_VENDORS": "/v"}


def test_a_daemon_finds_relative_folders_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    source = {"TESSERA_RUNTIME_DIR": "run", "PYTHONPATH": "src:/abs", "OCL_ICD_VENDORS": "bin"}
    assert environment.for_daemon(source) == {
        "TESSERA_RUNTIME_DIR": "/usr/run",
        "PYTHONPATH": "/usr/src:/abs",
        "OCL_ICD_VENDORS": "/usr/bin",
    }
    assert environment.for_daemon({"OCL_ICD_VENDORS": "libx.so"})["OCL_ICD_VENDORS"] == "libx.so"
