# SPDX-License-Identifier: Apache-2.0
"""A request's JSON that is made without the json module."""

from __future__ import annotations

import json

import pytest

from tessera.client.encode import encode


@pytest.mark.parametrize(
    "arguments", [["plain"], ['"quoted"', "back\\slash"], ["ä ☃ 🂡", "\x00\n\x7f"], ["\udcff"], []]
)
def test_a_request_is_json(arguments: list[str]) -> None:
    request = {"command": arguments, "gpus": 2, "name": None, "wait_seconds": 0.25, "ä": -1}
    assert json.loads(encode(request)) == request


@pytest.mark.parametrize("value", [{}, True, b""])
def test_what_is_no_value_of_a_request_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode({"name": value})
