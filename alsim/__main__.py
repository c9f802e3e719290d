"""`python -m alsim` is the command line."""

from alsim.cli import main

main()
