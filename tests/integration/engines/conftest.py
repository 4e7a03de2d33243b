"""Says what each scenario took with each engine."""

from __future__ import annotations

from collections import defaultdict

import pytest
from _pytest.terminal import TerminalReporter


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the seconds of each scenario, and the figures that it recorded."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for report in terminalreporter.getreports("passed"):
        if isinstance(report, pytest.TestReport) and report.when == "call" and (
                "integration/engines/" in report.nodeid):
            name, _, which = report.nodeid.rpartition("::")[2].partition("[")
            more = "".join(f", {what} {value}" for what, value in report.user_properties)
            found[name.removeprefix("test_")][which.rstrip("]") or "all"] = (
                f"{report.duration:.1f} s{more}")
    if found:
        terminalreporter.section("what scenarios took")
    for name, engines in found.items():
        terminalreporter.write_line(name.replace("_", " "))
        for engine, took in engines.items():
            terminalreporter.write_line(f"    {engine}: {took}")
