"""``python -m serving.access``."""

from serving.access.commands import main

if __name__ == "__main__":
    main()
