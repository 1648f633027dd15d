# SPDX-License-Identifier: Apache-2.0
"""Errors keep their name, text and exit code across the wire, and the tree is drawn as it is."""

from __future__ import annotations

import pytest

from tessera.model import errors
from tessera.model.errors import TesseraError, all_errors, from_wire

OWN = [cls for cls in all_errors() if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", OWN)
def test_an_error_comes_back_as_itself(cls: type[TesseraError]) -> None:
    back = from_wire(cls("what", "next").to_wire())
    assert type(back) is cls
    assert (back.message, back.hint) == ("what", "next")


def test_an_error_of_a_newer_daemon_keeps_its_exit_code() -> None:
    body = {"error": {"name": "FromTheFuture", "message": "m", "hint": "h", "exit_code": 4}}
    back = from_wire(body)
    assert type(back) is TesseraError
    assert back.exit_code == 4


@pytest.mark.parametrize("body", [None, [], {}, {"error": "x"}, {"detail": {}}])
def test_other_bodies_hold_no_error(body: object) -> None:
    assert from_wire(body) is None


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    drawn = [line.split("+--")[1].split()[0] for line in errors_tree() if "+--" in line]
    assert sorted(drawn) == sorted(cls.__name__ for cls in OWN if cls is not TesseraError)
    for line in errors_tree():
        if "exit" in line:
            name = line.replace("|", " ").replace("+--", " ").split()[0]
            cls = getattr(errors, name)
            assert f"exit {cls.exit_code}, HTTP {cls.http_status}" in line


def errors_tree() -> list[str]:
    assert errors.__doc__
    lines = errors.__doc__.splitlines()
    return [line for line in lines if "+--" in line or line.strip().startswith("TesseraError")]
