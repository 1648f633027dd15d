# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a slice goes to, and when: pure functions of what is asked, what runs and what is free."""

from tessera.placement.admission import Grant, Request, Running, admit, in_order, occupied, rooms
from tessera.placement.choice import place
from tessera.placement.demand import Capacity, Demand
from tessera.placement.refusal import refusal

__all__ = [
    "Capacity",
    "Demand",
    "Grant",
    "Request",
    "Running",
    "admit",
    "in_order",
    "occupied",
    "place",
    "refusal",
    "rooms",
]
