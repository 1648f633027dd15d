# SPDX-License-Identifier: Apache-2.0
"""Looks again and again, and shows it: on the screen, as plain text, as JSON, or as one picture."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path

from rich.console import Console
from rich.live import Live

from tessera.cli import output
from tessera.cli.commands import client
from tessera.cli.top import view
from tessera.cli.top.keys import RESIZED, STOPPED, Keys
from tessera.cli.top.order import KEYS, Order
from tessera.cli.top.view import Shown
from tessera.client.rest import Client
from tessera.model.errors import InvalidRequest, UnreachableError
from tessera.model.rates import Rates, rates
from tessera.model.usage import Usage

MIN_INTERVAL, MAX_INTERVAL = 0.1, 3600.0
_FASTER, _SLOWER = 0.5, 2.0
_PICTURE_WIDTH = 110


@dataclass(frozen=True)
class Plan:
    """`interval` in seconds; `looks`: how many, None: until it is told to end."""

    interval: float = 2.0
    looks: int | None = None
    order: Order = Order.SHARE
    backwards: bool = False

    def shown(self) -> Shown:
        return Shown(self.order, self.backwards, self.interval)


class Sampler:
    """One look after the other; a daemon that was restarted between two of them is found again."""

    def __init__(self) -> None:
        self._client: Client | None = client()
        self._before: Usage | None = None

    def look(self) -> Rates:
        """What happened since the look before. Raises UnreachableError and what the daemon answers."""
        try:
            if self._client is None:
                self._client = client(autostart=False)
            now = self._client.usage()
        except UnreachableError:
            self.close()
            raise
        before, self._before = self._before, now
        return rates(before, now)

    def close(self) -> None:
        if self._client:
            self._client.close()
        self._client = None


def print_text(plan: Plan) -> None:
    """Plain text, a blank line between two looks. Raises what Sampler.look() raises."""
    for number, found in enumerate(_looks(plan)):
        if number:
            print()
        console = output.console()
        output.print_tables(view.plain(console, found, plan.shown(), datetime.now()))
        sys.stdout.flush()


def print_json(plan: Plan) -> None:
    """One JSON object per line and look. Raises what Sampler.look() raises."""
    for found in _looks(plan):
        print(found.model_dump_json(), flush=True)


def write_picture(plan: Plan, path: Path) -> None:
    """One look as SVG. Raises InvalidRequest for another suffix, OSError, and what Sampler.look() raises."""
    if path.suffix != ".svg":
        raise InvalidRequest(f"'{path.name}' is no SVG file.", "End it in .svg.")
    (found,) = islice(_looks(plan), 1)
    lines = len(found.gpus) + sum(len(lease.gpus) for lease in found.leases)
    console = Console(
        record=True, file=io.StringIO(), width=_PICTURE_WIDTH, height=lines + 7, force_terminal=True
    )
    console.print(view.screen(console, found, plan.shown(), datetime.now()))
    picture = console.export_svg(title="tessera top")
    # rich would have the viewer fetch a font from another host.
    own_fonts = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    path.write_text(own_fonts, encoding="utf-8")


def _looks(plan: Plan) -> Iterator[Rates]:
    """Looks with rates: the first one is an interval after the start."""
    sampler = Sampler()
    try:
        sampler.look()
        for _ in islice(count(), plan.looks):
            time.sleep(plan.interval)
            yield sampler.look()
    finally:
        sampler.close()


def show(plan: Plan) -> None:
    """Fills the terminal until `q`, ^C or the last look. Raises what the first look raises."""
    shown, sampler = plan.shown(), Sampler()
    console = Console(highlight=False)
    found = sampler.look()
    try:
        with Keys() as keys, _live(console) as live:
            _watch(plan, shown, sampler, found, keys, live)
    except (KeyboardInterrupt, EOFError):
        pass
    finally:
        sampler.close()


def _live(console: Console) -> Live:
    return Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")


def _watch(
    plan: Plan, shown: Shown, sampler: Sampler, found: Rates, keys: Keys, live: Live
) -> None:
    due = time.monotonic() + min(1.0, shown.interval)
    looks = 0
    while True:
        live.update(view.screen(live.console, found, shown, datetime.now()), refresh=True)
        if looks == plan.looks:
            return
        key = keys.wait(due)
        if key == "q":
            return
        if key == STOPPED:
            live.stop()
            keys.stop()
            live.start()
        elif key == " " or not key:
            found, looks = _next(sampler, shown, found), looks + 1
            due = time.monotonic() + shown.interval
        elif key != RESIZED:
            _obey(key, shown)


def _next(sampler: Sampler, shown: Shown, found: Rates) -> Rates:
    """The next look; while there is no daemon, the last one with a word about it."""
    try:
        found, shown.trouble = sampler.look(), ""
    except UnreachableError as error:
        shown.trouble = error.message
    return found


def _obey(key: str, shown: Shown) -> None:
    if key in KEYS:
        shown.backwards = not shown.backwards if KEYS[key] is shown.order else False
        shown.order = KEYS[key]
    elif key == "r":
        shown.backwards = not shown.backwards
    elif key in "+-":
        longer = shown.interval * (_SLOWER if key == "+" else _FASTER)
        shown.interval = min(MAX_INTERVAL, max(MIN_INTERVAL, longer))
