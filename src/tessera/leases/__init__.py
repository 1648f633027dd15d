# SPDX-License-Identifier: Apache-2.0
"""The lease life cycle, and the gatekeepers that serve it."""
