"""Options of what is kept in the object store, as API and taskmanager need them."""

from __future__ import annotations

from oslo_config import cfg

from trove_ng.conf.cloud import own_region

OPTS: list[cfg.Opt] = [
    cfg.URIOpt("guest_object_store_url", schemes=["http", "https"],
               help="Start of the object store's URLs, before /v1, where servers reach it in "
                    "another way than the catalog says."),
    cfg.DictOpt("guest_object_store_urls", default={},
                help="The same for other regions than the one of the service: region:URL."),
    cfg.StrOpt("backup_swift_container", default="database_backups",
               help="Container of backups whose request names none, where no backup strategy "
                    "does."),
    cfg.StrOpt("backup_storage_driver", default="swift", choices=["swift", "cinder"],
               help="Where backups go whose request names nothing, where no backup strategy "
                    "does: the object store, or snapshots of volumes."),
    cfg.IntOpt("backup_chain_limit", default=50, min=1,
               help="Backups that continue each other at most, the full one among them: a "
                    "restore needs them all."),
    cfg.IntOpt("backup_verification_limit", default=2, min=0,
               help="Backups that are verified at once at most, of each project one: each is "
                    "restored into an instance of the service's own, which no project sees or "
                    "pays. 0 verifies none."),
    cfg.StrOpt("backup_verification_flavor",
               help="Flavor of these instances; by default that of the instance that was "
                    "backed up. Its memory must do for a restore."),
    cfg.StrOpt("backup_verification_network",
               help="Id of the network of these instances; by default default_network, or "
                    "the only one. Nothing there may reach their databases."),
    cfg.FloatOpt("backup_verification_check_time", default=3600, min=1,
                 help="Seconds that looking through the restored data may take."),
    cfg.BoolOpt("backup_encryption", default=False,
                help="Encrypt backups before they leave the server, each with a key of its own "
                     "that the service keeps: nobody can restore them without this service's "
                     "store and inst_rpc_key_encr_key, but for backup_transfer_keys."),
    cfg.ListOpt("backup_transfer_keys", secret=True, default=[],
                help="Secrets that the keys of encrypted backups are sealed with beside them, "
                     "newest first: other services with one of them take the backups over. "
                     "Without one only the service that made a backup reads it."),
    cfg.DictOpt("backup_foreign_projects", default={},
                help="Projects of other clouds, with other identity services, whose encrypted "
                     "backups projects of this one may take over: other id:own id."),
    cfg.StrOpt("guest_log_container_name", default="database_logs",
               help="Container in an instance's project that its logs are published to."),
    cfg.ListOpt("guest_log_exposed_logs", default=["error", "general", "slow_query"],
                help="Logs that owners of instances see and publish; ALL stands for all. "
                     "Administrators see all; 'guest' is the log of the agent."),
    cfg.FloatOpt("guest_log_long_query_time", default=1.0, min=0,
                 help="Seconds from which a query stands in the log of slow queries, unless "
                      "the instance's configuration says otherwise."),
    cfg.IntOpt("guest_log_limit", default=1024 ** 2, min=1024, max=64 * 1024 ** 2,
               help="Bytes of one published object at most."),
    cfg.IntOpt("guest_log_expiry", default=30 * 86400, min=0,
               help="Seconds that published objects are kept; 0 keeps them for ever."),
    cfg.FloatOpt("guest_log_publish_time", default=30, min=1,
                 help="Seconds after which publishing a log ends, to be continued by the next "
                      "request. It is at most half of guest_call_timeout."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS)


def guest_url(conf: cfg.ConfigOpts, region: str | None) -> str | None:
    """Return the start of a region's object store's URLs, where servers reach it.

    :return: None when servers reach it as the catalog says
    """
    if region is None or region == own_region(conf):
        found: str | None = conf.guest_object_store_url
    else:
        found = conf.guest_object_store_urls.get(region)
    return found


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]
