"""``python -m modelstitch``."""

from .cli import main

main()
