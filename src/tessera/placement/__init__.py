# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a slice goes to: pure functions of what is asked and what is free."""

from tessera.placement.memory import Capacity, Demand, place

__all__ = ["Capacity", "Demand", "place"]
