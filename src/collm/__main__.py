"""``python -m collm``."""

from collm.cli import main

main()
