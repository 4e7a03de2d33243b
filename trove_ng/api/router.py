"""Finding the route of a request in the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from trove_ng.api.routes import Route


@dataclasses.dataclass
class _Node:
    """One position in the tree of path segments."""

    fixed: dict[str, _Node] = dataclasses.field(default_factory=dict)
    parameter: tuple[str, _Node] | None = None
    methods: dict[str, Route] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Match:
    """What a path leads to: routes by method, and the values of its parameters."""

    methods: dict[str, Route]
    params: dict[str, str]


class Router:
    """The tree of all paths; a fixed segment outranks a parameter."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.path.strip("/").split("/"):
            if segment.startswith("{"):
                # A second route may name the same position otherwise: keep both trees
                # apart only by name, never by value.
                name = segment[1:-1]
                if node.parameter is None:
                    node.parameter = (name, _Node())
                elif node.parameter[0] != name:
                    raise ValueError(f"{route.path}: a parameter here is {node.parameter[0]}")
                node = node.parameter[1]
            else:
                node = node.fixed.setdefault(segment, _Node())
        if route.method in node.methods:
            raise ValueError(f"{route.method} {route.path} is there twice")
        node.methods[route.method] = route

    def match(self, segments: Sequence[str]) -> Match | None:
        """Return what the segments lead to, None if they lead nowhere."""
        return self._walk(self._root, segments, 0)

    def _walk(self, node: _Node, segments: Sequence[str], at: int) -> Match | None:
        if at == len(segments):
            return Match(node.methods, {}) if node.methods else None
        segment = segments[at]
        child = node.fixed.get(segment)
        if child is not None:
            found = self._walk(child, segments, at + 1)
            if found is not None:
                return found
        if node.parameter is None or not segment:
            return None
        name, child = node.parameter
        found = self._walk(child, segments, at + 1)
        if found is not None:
            found.params[name] = segment
        return found
