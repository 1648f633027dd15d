# SPDX-License-Identifier: Apache-2.0
"""Container images: SIF files, OCI layouts, what is built from folders and Debian suites, and their cache."""
