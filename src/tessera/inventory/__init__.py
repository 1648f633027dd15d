# SPDX-License-Identifier: Apache-2.0
"""What GPUs are here: OpenCL through tessera-probe, NVML and PCI facts where they are present."""

from tessera.inventory.inventory import CpuDevices, Inventory

__all__ = ["CpuDevices", "Inventory"]
