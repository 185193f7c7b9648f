"""`python -m lifecycle.cli`: the `lifecycle` command."""

from lifecycle.cli import main

main()
