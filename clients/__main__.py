"""`python -m clients` makes both."""

from clients import make


def main() -> None:
    print(make.python())
    print(make.typescript())


if __name__ == "__main__":
    main()
