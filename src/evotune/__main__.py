"""``python -m evotune`` is the same as the command ``evotune``."""

from evotune.cli.main import main

if __name__ == "__main__":
    main()
