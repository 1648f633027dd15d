# SPDX-License-Identifier: Apache-2.0
"""Devices handed over whole to a machine: found, checked, bound to VFIO, given back."""
