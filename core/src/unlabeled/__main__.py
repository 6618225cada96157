"""`python -m unlabeled`, and so `accelerate launch -m unlabeled train ...`."""

from unlabeled.cli.main import main

if __name__ == "__main__":
    main()
