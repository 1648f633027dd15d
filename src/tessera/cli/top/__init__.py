# SPDX-License-Identifier: Apache-2.0
"""`tessera top`: who uses the GPUs now."""
