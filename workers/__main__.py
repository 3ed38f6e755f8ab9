"""`python -m workers` is the `catalog` command."""

from workers.cli import main

main()
