"""What the sample configuration files are made of (``oslo.config.opts`` entry points)."""

from __future__ import annotations

import importlib
import pkgutil

from oslo_config import cfg

import trove_ng.conf

Options = list[tuple[str | None, list[cfg.Opt]]]

#: modules without options of their own
_NOT_OPTIONS = {"opts"}
#: modules that only an agent reads
_GUEST_ONLY = {"guestagent"}
#: modules that an agent reads
_GUEST = {"base", "guestagent", "rpc"}


def _collect(names: set[str]) -> Options:
    """Return the options of the named modules, one entry a group."""
    groups: dict[str | None, list[cfg.Opt]] = {}
    for name in sorted(names):
        module = importlib.import_module(f"trove_ng.conf.{name}")
        for group, opts in module.list_opts():
            groups.setdefault(group, []).extend(opts)
    return list(groups.items())


def _modules() -> set[str]:
    return {found.name for found in pkgutil.iter_modules(trove_ng.conf.__path__)}


def list_opts() -> Options:
    """Return the options of the control plane's services."""
    return _collect(_modules() - _NOT_OPTIONS - _GUEST_ONLY)


def list_guest_opts() -> Options:
    """Return the options of the guest agent."""
    return _collect(_modules() & _GUEST)
