"""Options of the taskmanager and of what it makes in the cloud."""

from __future__ import annotations

from oslo_config import cfg

from trove_ng.conf import dns, health, modules, notifications, object_store, tls, volumes

OPTS: list[cfg.Opt] = [
    cfg.IntOpt("taskmanager_workers", default=32, min=1,
               help="Operations that one taskmanager runs at the same time."),
    cfg.FloatOpt("sweep_interval", default=5, min=0.1,
                 help="Seconds between two looks for operations that nobody works on."),
    cfg.FloatOpt("reconcile_interval", default=60, min=1,
                 help="Seconds between two comparisons of the store with the cloud, whichever "
                      "taskmanager does them."),
    cfg.FloatOpt("housekeeping_interval", default=3600, min=1,
                 help="Seconds between two looks for what was kept for its time, as the "
                      "answers to requests with an Idempotency-Key."),
    cfg.FloatOpt("schedule_interval", default=5, min=0.1,
                 help="Seconds between two looks for schedules that are due."),
    cfg.FloatOpt("schedule_patience", default=3600, min=0,
                 help="Seconds in which a backup that is due and cannot be made, since other "
                      "work is done on its instance, is tried again; at most until the next "
                      "one is due."),
    cfg.FloatOpt("schedule_retention_interval", default=60, min=1,
                 help="Seconds between two looks for backups that schedules keep no longer, "
                      "whichever taskmanager does them."),
    cfg.FloatOpt("schedule_execution_keep_days", default=90, min=0,
                 help="Days after which executions of schedules are forgotten; 0 keeps them."),
    cfg.FloatOpt("failover_interval", default=1, min=0.1,
                 help="Seconds between two looks for sources of replicas that are lost and "
                      "whose owners want another one by itself."),
    cfg.IntOpt("failover_max_running", default=5, min=1,
               help="Sources that are given up at the same time at most, by anybody, before no "
                    "further one is by itself: when many are silent something else may be "
                    "wrong."),
    cfg.FloatOpt("failover_isolation_timeout", default=60, min=1,
                 help="Seconds until a source that is given up by itself must be seen cut off; "
                      "else it stays, and is tried again after the seconds that its owner has "
                      "put between two failovers."),
    cfg.FloatOpt("failover_candidate_timeout", default=20, min=1,
                 help="Seconds that a replica gets to tell how far it is when its source is "
                      "given up by itself; then the others do without it, unless it told "
                      "before that it has more than they have. One that was chosen and is "
                      "silent, or down, for three times as long before clients may write to it "
                      "is cut off, and another one is chosen."),
    cfg.FloatOpt("log_archive_interval", default=120, min=1,
                 help="Seconds after which the log of a database is archived again, where that "
                      "is on: what may be lost with a server. An agent that did not answer is "
                      "asked again after guest_call_timeout and half a minute at the earliest."),
    cfg.FloatOpt("log_archive_check_interval", default=5, min=0.1,
                 help="Seconds between two looks for databases whose log is to be archived."),
    cfg.FloatOpt("log_archive_time", default=30, min=1,
                 help="Seconds after which an agent begins to store no further part of the log, "
                      "and is asked again. It is at most half of guest_call_timeout."),
    cfg.IntOpt("log_archive_workers", default=8, min=1,
               help="Agents that one taskmanager asks at the same time to archive logs."),
    cfg.FloatOpt("orphan_age", default=120, min=0,
                 help="Seconds since an instance was last worked on, or deleted, in which what it "
                      "has in the cloud is not judged; after them leftovers are deleted."),
    cfg.IntOpt("recover_tries", default=5, min=1,
               help="How often it is tried to start a database whose root disk was replaced "
                    "when nobody waited for that."),
    cfg.FloatOpt("recover_interval", default=120, min=0,
                 help="Seconds between the first two of these tries, at least 'orphan_age'; "
                      "they double with each."),
    cfg.FloatOpt("delete_again_interval", default=300, min=1,
                 help="Seconds after which an instance or a backup whose deletion failed is "
                      "deleted again; they double with each failure, up to a day."),
    cfg.FloatOpt("orphan_objects_age", default=86400, min=0,
                 help="Seconds since objects were stored for a backup that is deleted, or "
                      "failed, or as log that no restore needs, after which they are "
                      "deleted."),
    cfg.FloatOpt("reconcile_objects_interval", default=3600, min=0,
                 help="Seconds between two looks for such objects; 0 leaves them to "
                      "'trove-manage reconcile'."),
    cfg.FloatOpt("event_keep_days", default=90, min=0,
                 help="Days after which lines of the instances' timelines are removed; 0 keeps "
                      "them."),
    cfg.StrOpt("guest_config", default="/etc/trove/trove-guestagent.conf",
               help="File that servers get as their agent's configuration; it names the "
                    "message broker."),
    cfg.StrOpt("guest_config_dir", default="/etc/trove/conf.d",
               help="Directory on servers for the agent's configuration files."),
    cfg.StrOpt("cloudinit_location", default="/etc/trove/cloudinit",
               help="Directory with files <manager>.cloudinit that are added to the user data "
                    "of servers."),
    cfg.StrOpt("device_path", default="/dev/vdb",
               help="Device of the data volume, where the cloud does not tell."),
    cfg.StrOpt("volume_fstype", default="ext4", choices=["ext3", "ext4", "xfs"],
               help="File system of data volumes."),
    cfg.BoolOpt("enable_volume_az", default=False,
                help="Make volumes in the availability zone of their server; it must have a "
                     "zone of this name for volumes too."),
    cfg.StrOpt("mount_options", default="defaults,noatime",
               help="Mount options of data volumes."),
    cfg.StrOpt("default_network",
               help="Network of instances whose request names none: its id or, where "
                    "instances are in several regions, the name that it has in all of them."),
    cfg.StrOpt("public_network",
               help="External network of floating addresses, its id or name; by default the "
                    "only one there is."),
    cfg.ListOpt("management_networks", default=[],
                help="Networks, ids or names, that all instances get in addition, for the "
                     "message broker."),
    cfg.ListOpt("default_allowed_cidrs", default=["0.0.0.0/0"],
                help="Addresses that may reach the database of instances whose request does "
                     "not say."),
    cfg.BoolOpt("use_config_drive", default=True,
                # as spec adapt-to-file-injection-deprecation-in-nova has it
                deprecated_name="use_nova_server_config_drive",
                help="Give servers their user data by config drive."),
    cfg.FloatOpt("agent_start_timeout", default=600, min=1,
                 help="Seconds until the agent of a new or restarted server must be heard."),
    cfg.FloatOpt("server_timeout", default=600, min=1,
                 help="Seconds until the compute service must have done what it was asked."),
    cfg.FloatOpt("volume_timeout", default=300, min=1,
                 help="Seconds until the volume service must have done what it was asked."),
    cfg.FloatOpt("prepare_retry", default=30, min=1,
                 help="Seconds of silence after which a guest is asked again for long work, and "
                      "the compute service whether its server is there still."),
    cfg.IntOpt("backup_segment_size", default=2 * 1024 ** 3, min=1024 ** 2,
               help="Bytes of one stored piece of a backup."),
    cfg.FloatOpt("backup_snapshot_hold", default=60, min=5,
                 help="Seconds for which a database may be kept from writing while the cloud "
                      "makes a snapshot of its volume; a snapshot that takes longer fails."),
    cfg.IntOpt("backup_grant_lifetime", default=7 * 86400, min=60,
               help="Seconds that a guest may use the object store for one backup or "
                    "restore."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    dns.register(conf)
    health.register(conf)
    modules.register(conf)
    notifications.register(conf)
    object_store.register(conf)
    tls.register(conf)
    volumes.register(conf)
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(None, OPTS)]
