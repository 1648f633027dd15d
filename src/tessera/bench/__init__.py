# SPDX-License-Identifier: Apache-2.0
"""The experiments: the bare device and leases measured side by side in one run."""
