"""The command `planner`, and `python -m planner`."""

from __future__ import annotations

import gc
import signal

GARBAGE = (100_000, 50, 100)
"""Objects before a collection, and collections of the young before older ones are looked at. What
is imported, and what a plan is made of, is no garbage: to look through it took a tenth of the CPU
time of `status`."""


def main() -> None:
    """Run the command line. Ctrl-C while it is imported ends it as it ends other programs."""
    gc.set_threshold(*GARBAGE)
    was = signal.getsignal(signal.SIGINT)
    if was is signal.default_int_handler:  # else it is ignored, as in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from planner import cli
    from planner.console import unused_imports

    unused_imports.install()
    signal.signal(signal.SIGINT, was)
    cli.main()


if __name__ == "__main__":
    main()
