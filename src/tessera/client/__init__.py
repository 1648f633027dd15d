# SPDX-License-Identifier: Apache-2.0
"""How commands and tests talk to the daemon. Nothing is imported here: see tessera.cli.run."""
