# SPDX-License-Identifier: Apache-2.0
"""Who an image's program is, and whom its files belong to on this host."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.sandbox import idmap
from tessera.sandbox.idmap import IdMap, Range, first_range
from tessera.sandbox.inside import User, find_user

TABLE = Path(__file__).parents[1] / "helpers" / "users.txt"


def table() -> tuple[list[list[str]], list[list[str]], list[tuple[str, str]]]:
    """The files of the table, and its questions with their answers."""
    passwd, group, asked = [], [], []
    for line in TABLE.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "passwd":
            passwd.append(rest.split(":"))
        elif kind == "group":
            group.append(rest.split(":"))
        elif kind == "user":
            text, _, answer = rest.partition(" => " if " => " in rest else "=> ")
            asked.append((text, answer))
    return passwd, group, asked


PASSWD, GROUP, ASKED = table()


def shown(user: User | None) -> str:
    if user is None:
        return "-"
    return " ".join(map(str, (user.uid, user.gid, user.home, *user.groups)))


@pytest.mark.parametrize(("text", "answer"), ASKED)
def test_users_are_those_of_the_table(text: str, answer: str) -> None:
    assert shown(find_user(text, PASSWD, GROUP)) == answer


def test_groups_are_as_many_as_a_process_may_well_have() -> None:
    many = [["g", "x", str(number), "me"] for number in range(100)]
    found = find_user("me", [["me", "x", "1", "2", "", "/"]], many)
    assert found
    assert len(found.groups) == 64


def inside_of(text: str) -> dict[int, int]:
    """A map as the kernel reads it: each number inside and what it is outside."""
    found: dict[int, int] = {}
    for line in text.splitlines():
        inside, outside, count = map(int, line.split())
        found.update(
            zip(range(inside, inside + count), range(outside, outside + count), strict=True)
        )
    return found


@given(st.integers(0, 12), st.integers(0, 8))
def test_every_number_has_one_place_and_the_users_is_the_callers(own: int, count: int) -> None:
    ids = IdMap(500, own, Range(9000, count))
    outer, inner = inside_of(ids.outer), inside_of(ids.inner)
    assert outer[inner[own]] == 500
    assert len(set(outer.values())) == len(outer) == count + 1
    assert sorted(inner.values()) == sorted(outer)
    # With their places filled from 0 on.
    assert len([number for number in inner if number != own]) == count
    assert all(number <= count for number in inner if number != own)
    for number in range(14):
        assert ids.in_outer(number) == inner.get(number)
        assert ids.on_host(number) == (outer[inner[number]] if number in inner else None)
    assert inside_of(ids.alone().inner) == {own: 0}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["other:1:2", "me:100:5", "me:200:6"], Range(100, 5)),
        (["1000:100:5\n"], Range(100, 5)),
        (["me:100:0", "me:x:5", "me:1", "me", "", "#me:1:2"], None),
        (["me:-1:5", "me:1:99999999999"], None),
    ],
)
def test_numbers_that_a_host_sets_aside(lines: list[str], found: Range | None) -> None:
    assert first_range(lines, {"1000", "me"}) == found


@pytest.mark.parametrize(
    ("uid", "line", "helpers", "enough"),
    [
        (0, "other:1:2", "", True),
        (1000, "1000:100:65536", "newuidmap newgidmap", True),
        (1000, "1000:100:65536", "newuidmap", False),
        (1000, "other:1:2", "newuidmap newgidmap", False),
    ],
)
def test_who_has_a_number_for_each_user_of_an_image(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    uid: int,
    line: str,
    helpers: str,
    enough: bool,
) -> None:
    (tmp_path / "aside").write_text(line)
    for name in helpers.split():
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(idmap, "_USERS", str(tmp_path / "aside"))
    monkeypatch.setattr(idmap, "_GROUPS", str(tmp_path / "aside"))
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert idmap.has_numbers() is enough
