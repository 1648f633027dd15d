# SPDX-License-Identifier: Apache-2.0
"""No promise without its proof: every test and file that SPECIFICATION.md names is there."""

from __future__ import annotations

import re

from helpers.programs import ROOT

TESTS = ROOT / "tests"


def proofs() -> list[tuple[str, str]]:
    """Each proof as its path and its function, which is empty where the whole file is meant."""
    rows = [line for line in (ROOT / "SPECIFICATION.md").read_text().splitlines() if "|" in line]
    found = []
    for row in rows:
        for quoted in re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1]):
            file, _, function = quoted.partition("::")
            if re.search(r"[/.]", file):
                found.append((file.split()[0], function))
    return found


def test_every_proof_exists() -> None:
    named = proofs()
    assert len(named) > 25
    for path, function in named:
        places = [ROOT / path] if "/" in path else sorted(TESTS.rglob(path))
        assert len(places) == 1 and places[0].exists(), path
        assert not function or f"def {function}(" in places[0].read_text(), (path, function)
