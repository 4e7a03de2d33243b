"""Run all measurements, or those that are named: api, conductor, create, engines, start."""

from __future__ import annotations

import argparse

from trove_ng.common.threads import use_native_threads

PARTS = ("create", "start", "api", "conductor", "engines")


def main() -> None:
    """Print one JSON line for each measurement."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help=", ".join(PARTS))
    wanted = parser.parse_args().part or PARTS
    use_native_threads()
    from tests.benchmarks import api, conductor, create, engines, stage, start

    with stage.running() as running:
        for part in PARTS:
            if part in wanted:
                {"api": api, "conductor": conductor, "create": create, "engines": engines,
                 "start": start}[part].measure(running)


if __name__ == "__main__":
    main()
