"""`python -m raravis` is the command line."""

from raravis.cli import main

main()
