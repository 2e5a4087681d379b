"""``python -m seqarchive`` is the command ``seqarchive``."""

from .commands import main

if __name__ == "__main__":
    main()
