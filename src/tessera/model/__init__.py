# SPDX-License-Identifier: Apache-2.0
"""Frozen types, units and errors. Imports nothing above it."""
