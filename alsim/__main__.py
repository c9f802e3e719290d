"""`python -m alsim` is the command line."""

from alsim_command import main

main()
