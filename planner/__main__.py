"""The command `planner`, and `python -m planner`."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line. Ctrl-C while it is imported ends it as it ends other programs."""
    was = signal.getsignal(signal.SIGINT)
    if was is signal.default_int_handler:  # else it is ignored, as in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from planner import cli

    signal.signal(signal.SIGINT, was)
    cli.main()


if __name__ == "__main__":
    main()
