"""Entry point of the `nfcompile` command, and of `python -m nfcompile`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line; an interrupt gives exit code 130 from the first moment on."""
    try:
        from nfcompile.cli import app

        app(prog_name="nfcompile")
    except KeyboardInterrupt:
        print("nfcompile: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
