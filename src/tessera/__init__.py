# SPDX-License-Identifier: Apache-2.0
"""Tessera cuts GPUs into pieces and hands them to workloads that believe they own a GPU.

Nothing is imported here: `tessera run` pays for every import before the workload starts.
"""

__version__ = "0.1.0"
