# SPDX-License-Identifier: Apache-2.0
"""Programs of container images in namespaces of this host, with a lease and without a virtual machine."""
