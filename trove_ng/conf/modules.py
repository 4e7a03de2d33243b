"""Options of modules, of more than one service (spec module-management)."""

from __future__ import annotations

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.ListOpt("module_types", default=["ping", "new_relic_license", "vertica_license"],
                help="Types of modules that may be made; the guest agents need a driver for "
                     "each, an entry point of trove_ng.guestagent.modules."),
    cfg.ListOpt("module_aes_cbc_key", secret=True, default=[],
                help="Secrets that the contents of modules are sealed with in the store (by "
                     "AES-256-GCM), newest first. Without one, or for what was sealed before "
                     "there was one, 'inst_rpc_key_encr_key' is used. There is no default."),
    cfg.IntOpt("module_reapply_max_batch_size", default=50, min=1,
               help="Instances that a module is applied to again before a pause, at most and "
                    "by default."),
    cfg.IntOpt("module_reapply_min_batch_delay", default=2, min=0,
               help="Seconds of that pause, at least and by default."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]


def secrets(conf: cfg.ConfigOpts) -> list[str]:
    """Return the secrets that contents may be sealed with, the one to seal with first."""
    return [*conf.module_aes_cbc_key, *conf.inst_rpc_key_encr_key]
