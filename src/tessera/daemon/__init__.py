# SPDX-License-Identifier: Apache-2.0
"""tesserad, the host daemon: thin routers over the lease service. Never on the data path."""
