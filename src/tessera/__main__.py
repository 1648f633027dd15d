# SPDX-License-Identifier: Apache-2.0
"""`python -m tessera`: the command line."""

from tessera.cli.entry import main

main()
