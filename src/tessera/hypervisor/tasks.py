# SPDX-License-Identifier: Apache-2.0
"""Waiting for one of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first_of(*bodies: Coroutine[Any, Any, T]) -> T:
    """The result of the first that ends, or its exception; of several that ended, the one named first.

    The others are cancelled, and have ended when this returns.
    """
    tasks = [asyncio.ensure_future(body) for body in bodies]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
