# SPDX-License-Identifier: Apache-2.0
"""A saved machine is whole, or it is named what is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tessera.hypervisor import saved
from tessera.model.errors import StateFileDamaged, StateFileOtherVersion

SIZE = 5 * saved.PIECE + 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed state with a hole in its memory."""
    memory, state = saved.create(tmp_path)
    os.ftruncate(memory, SIZE)
    os.pwrite(memory, b"a" * saved.PIECE, saved.PIECE)
    os.pwrite(memory, b"end", SIZE - 3)
    os.pwrite(state, b"devices", 0)
    os.close(memory)
    os.close(state)
    (tmp_path / "session-0.state").write_bytes(b"session" * 999)
    saved.seal(tmp_path, "abc", "hypervisor 1")
    return tmp_path


def look(folder: Path) -> bool:
    """Checks all of a state; whether the memory is the very file that was sealed."""
    with saved.opened(folder) as (memory, state, manifest):
        found = saved.read(manifest)
        for name, descriptor in ((saved.MEMORY, memory), (saved.STATE, state)):
            saved.check(name, saved.part_of(found, name, descriptor), descriptor)
        untouched = saved.is_untouched(found.parts[saved.MEMORY], memory)
    saved.check_sessions(folder)
    return untouched


def test_what_was_sealed_is_whole_and_untouched(folder: Path) -> None:
    assert look(folder)
    assert saved.is_sealed(folder)


def test_a_copy_is_whole_and_not_the_same_file(folder: Path) -> None:
    content = (folder / saved.MEMORY).read_bytes()
    (folder / saved.MEMORY).unlink()
    (folder / saved.MEMORY).write_bytes(content)
    assert not look(folder)


def test_a_change_back_and_forth_is_a_touch(folder: Path) -> None:
    for byte in (b"b", b"a"):
        with (folder / saved.MEMORY).open("r+b") as out:
            out.seek(saved.PIECE)
            out.write(byte)
    assert not look(folder)


def change(name: str, place: int, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / name).open("r+b") as out:
            out.seek(place)
            out.write(content)

    return damage


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (change(saved.MEMORY, saved.PIECE + 5, b"b"), "memory is damaged in its MiB 1"),
    (change(saved.MEMORY, 3 * saved.PIECE, b"x"), "memory is damaged in its MiB 3"),
    (change(saved.MEMORY, SIZE - 1, b"x"), "memory is damaged in its MiB 5"),
    (change(saved.STATE, 0, b"D"), "state is damaged"),
    (change(saved.STATE, 7, b"!"), "cut short, or is not of this state"),
    (change(saved.MANIFEST, 5, b"?"), "manifest does not have its checksum"),
    (lambda folder: os.truncate(folder / saved.MEMORY, SIZE - 1), "cut short"),
    (lambda folder: (folder / saved.MEMORY).unlink(), "memory cannot be opened: No such file"),
    (lambda folder: (folder / saved.MANIFEST).unlink(), "manifest cannot be opened"),
    (lambda folder: os.truncate(folder / saved.MANIFEST, 0), "manifest does not have"),
    (change("session-0.state", 9, b"?"), "session-0.state is damaged"),
    (lambda folder: os.truncate(folder / "session-0.state", 9), "session-0.state is cut short"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_damage_is_named(folder: Path, damage: Callable[[Path], None], why: str) -> None:
    damage(folder)
    with pytest.raises(StateFileDamaged, match=why):
        look(folder)


def test_a_session_that_ended_is_not_missed(folder: Path) -> None:
    (folder / "session-0.state").unlink()
    assert look(folder)


def test_a_manifest_of_another_version_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "VERSION", 2)
    with pytest.raises(StateFileOtherVersion, match="version 1, not 2"):
        look(folder)


def test_only_the_descriptor_of_the_memory_is_for_others(folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert (modes[saved.MEMORY], modes[saved.STATE]) == (0o666, 0o600)
