# SPDX-License-Identifier: Apache-2.0
"""What leases would do to each other on one GPU: pure functions, and what `tessera advise` reads for them."""
