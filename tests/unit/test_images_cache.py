# SPDX-License-Identifier: Apache-2.0
"""The cache: by content, whole or not at all, for several commands at once."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from tessera.images import names
from tessera.images.cache import Cache, Entry
from tessera.images.progress import Silent
from tessera.model.errors import (
    ImageDamaged,
    ImageNameInUse,
    ImageNotFound,
    InvalidImageName,
    RuntimeFolderUnusable,
)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "state" / "images")


def added(cache: Cache, name: str, content: str = "content", replace: bool = False) -> Entry:
    with cache.making() as made:
        made.write_text(content)
        return cache.keep(made, name, replace)


def files(cache: Cache) -> list[str]:
    return sorted(str(path.relative_to(cache.folder)) for path in cache.folder.rglob("*/*"))


def test_an_image_is_found_by_name_and_digest(cache: Cache) -> None:
    entry = added(cache, "app")
    assert entry.digest.startswith("sha256:ed7002b4")
    assert (entry.names, entry.size) == (("app",), 7)
    assert cache.find("app") == cache.find(entry.digest) == cache.find("sha256:ed7002b4") == entry
    assert cache.path_of(entry.digest).read_text() == "content"
    assert cache.path_of(entry.digest).stat().st_mode & 0o777 == 0o400


def test_the_same_content_is_kept_once(cache: Cache) -> None:
    added(cache, "one")
    assert added(cache, "two").names == ("one", "two")
    assert len(cache.entries()) == 1
    assert added(cache, "one").names == ("one", "two")


def test_a_name_is_taken_over_only_when_that_is_wanted(cache: Cache) -> None:
    first = added(cache, "app")
    with pytest.raises(ImageNameInUse, match=names.short(first.digest)) as refusal:
        added(cache, "app", "other")
    assert "--replace" in refusal.value.hint
    assert cache.entries() == [first]
    second = added(cache, "app", "other", replace=True)
    assert cache.entries() == [second]


def test_a_name_is_removed_and_the_image_with_its_last_one(cache: Cache) -> None:
    added(cache, "one")
    added(cache, "two")
    cache.remove("one")
    assert [entry.names for entry in cache.entries()] == [("two",)]
    cache.remove("two")
    assert files(cache) == []


def test_a_digest_removes_all_names(cache: Cache) -> None:
    entry = added(cache, "one")
    added(cache, "two")
    added(cache, "other", "other")
    cache.remove(entry.digest)
    assert [entry.names for entry in cache.entries()] == [("other",)]


@pytest.mark.parametrize("reference", ["none", "sha256:00000000"])
def test_what_is_not_there_is_not_found(cache: Cache, reference: str) -> None:
    for ask in (cache.find, cache.remove):
        with pytest.raises(ImageNotFound) as refusal:
            ask(reference)
        assert "tessera image list" in refusal.value.hint


@pytest.mark.parametrize(
    "reference", ["../x", "", ".hidden", "a b", "sha256:xyz", "sha256:00", "a/b"]
)
def test_names_are_no_paths(cache: Cache, reference: str) -> None:
    with pytest.raises(InvalidImageName):
        cache.find(reference)


def test_the_beginning_of_a_digest_must_be_of_one_image(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = iter(["0" * 8 + "a" * 56, "0" * 8 + "b" * 56])
    monkeypatch.setattr(
        "tessera.images.cache.digest_of", lambda *_: names.PREFIX + next(digits)
    )  # fmt: skip
    added(cache, "one", "1")
    added(cache, "two", "2")
    with pytest.raises(ImageNotFound, match="2 images"):
        cache.find("sha256:00000000")
    assert cache.find("sha256:00000000a").names == ("one",)


def test_an_image_that_was_changed_is_found_out(cache: Cache) -> None:
    entry = added(cache, "app")
    cache.verify(entry, Silent())
    path = cache.path_of(entry.digest)
    path.chmod(0o600)
    path.write_text("changed")
    with pytest.raises(ImageDamaged, match="was changed"):
        cache.verify(entry, Silent())


def test_what_fails_leaves_nothing(cache: Cache) -> None:
    with pytest.raises(ZeroDivisionError), cache.making() as made:
        made.write_text("half")
        raise ZeroDivisionError
    assert files(cache) == []


def test_what_a_killed_command_left_is_removed_by_the_next_one(cache: Cache) -> None:
    left, busy = cache.folder / "new" / "left", cache.folder / "new" / "busy"
    left.write_text("half")
    with open(busy, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        added(cache, "app")
        assert not left.exists()
        assert busy.exists()


def _add_often(folder: Path, number: int) -> None:
    cache = Cache(folder)
    for turn in range(20):
        added(cache, f"mine-{number}", f"content {turn % 3}", replace=True)
        added(cache, "shared", f"content {turn % 3}", replace=True)
        cache.entries()
    cache.remove(f"mine-{number}")


def test_several_commands_at_once_leave_a_sound_cache(cache: Cache) -> None:
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_add_often, args=(cache.folder, number)) for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    (entry,) = cache.entries()
    assert entry.names == ("shared",)
    cache.verify(entry, Silent())
    assert len(files(cache)) == 2


def test_an_image_in_use_may_be_removed(cache: Cache) -> None:
    entry = added(cache, "app")
    with open(cache.path_of(entry.digest)) as used:
        cache.remove("app")
        assert used.read() == "content"


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RuntimeFolderUnusable, match="another user"):
        Cache(folder / "images")


def test_names_come_from_files() -> None:
    assert names.name_from(Path("/x/app.sif")) == "app"
    assert names.name_from(Path("app-1.0.tar")) == "app-1.0"
    assert names.name_from(Path("/x/layout/.")) == "layout"
    assert names.name_from(Path("layout")) == "layout"
    with pytest.raises(InvalidImageName):
        names.name_from(Path("/x/a b.sif"))
    assert os.path.basename(names.short("sha256:" + "0" * 64)) == "sha256:" + "0" * 12
