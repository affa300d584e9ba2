"""``python -m pointline.cli``."""

from pointline.cli import main

if __name__ == "__main__":
    main()
