"""Options of notifications; drivers and transport are oslo.messaging's own options."""

from __future__ import annotations

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.FloatOpt("notification_interval", default=1, min=0.05,
                 help="Seconds between two looks for notifications to send, which "
                      "'[oslo_messaging_notifications] driver' asks for. One taskmanager "
                      "sends at a time."),
    cfg.IntOpt("notification_max_waiting", default=100000, min=1,
               help="Notifications that are kept while they cannot be sent. Of more the "
                    "oldest are dropped, which is logged and counted."),
    cfg.IntOpt("quota_notification_interval", default=3600,
               help="Seconds between two notifications 'dbaas.quota' for each project and "
                    "resource; below 1 there are none."),
    cfg.IntOpt("exists_notification_interval", default=3600,
               help="Seconds of the audit periods, at whose ends 'trove.instance.exists' "
                    "is sent for each instance; below 1 there are none."),
    cfg.DictOpt("notification_service_id", default={},
                help="What notifications have as the service_id of a datastore, by the name "
                     "of its manager; by default the id of the datastore."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]
