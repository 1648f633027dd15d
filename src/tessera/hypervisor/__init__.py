# SPDX-License-Identifier: Apache-2.0
"""Virtual machines: what runs a workload on a kernel of its own, with a piece of a GPU."""
