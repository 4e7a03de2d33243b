"""Finding what is installed by the name of its entry point."""

from __future__ import annotations

from typing import Any


class NoEntryPoint(Exception):
    """There is none of a name or, which its cause tells, it cannot be imported."""


def find(namespace: str, name: str) -> Any:
    """Return what an entry point names.

    :raises NoEntryPoint: nothing can be had
    """
    from stevedore import driver
    from stevedore.exception import NoMatches

    problems: list[BaseException] = []

    def remember(_manager: object, _entry_point: object, err: BaseException) -> None:
        problems.append(err)

    try:
        return driver.DriverManager(namespace, name, on_load_failure_callback=remember,
                                    warn_on_missing_entrypoint=False).driver
    except NoMatches:
        raise NoEntryPoint from (problems[0] if problems else None)
