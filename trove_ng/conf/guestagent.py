"""Options of the guest agent."""

from __future__ import annotations

from oslo_config import cfg

#: written for each instance by the control plane (``guest_info.conf``)
IDENTITY_OPTS: list[cfg.Opt] = [
    cfg.StrOpt("guest_id", help="Id of the instance that this agent serves."),
    cfg.StrOpt("guest_name", default="", help="Name of the instance."),
    cfg.StrOpt("tenant_id", default="", help="Project that owns the instance."),
    cfg.StrOpt("datastore_manager",
               help="Datastore manager to run; an entry point name of "
                    "trove_ng.guestagent.managers."),
]

AGENT_OPTS: list[cfg.Opt] = [
    cfg.IntOpt("report_interval", default=10, min=1,
               help="Seconds between two heartbeats. A change of the database's status "
                    "is reported at once."),
    cfg.StrOpt("state_path", default="/var/lib/trove-guestagent",
               help="Directory for what the agent must remember over a restart."),
]

GROUP_OPTS: list[cfg.Opt] = [
    cfg.StrOpt("service_manager", default="auto", choices=["auto", "systemd", "supervisor"],
               help="What starts and stops the database on this server."),
    cfg.StrOpt("supervisor_socket", default="/run/supervisor.sock",
               help="Unix socket of supervisord."),
    cfg.IntOpt("command_timeout", default=120, min=1,
               help="Seconds that a system command may take."),
    cfg.IntOpt("state_change_wait_time", default=180, min=1,
               help="Seconds to wait for the database to start or stop."),
    cfg.IntOpt("status_interval", default=3, min=1,
               help="Seconds between two looks at the database."),
    cfg.IntOpt("stop_timeout", default=15, min=0,
               help="Seconds that running work gets to end when the agent is stopped."),
    cfg.IntOpt("release_trial_time", default=180, min=5,
               help="Seconds within which the control plane must have confirmed a new release "
                    "of the agent; else the one before is taken."),
    cfg.IntOpt("object_store_tries", default=8, min=1,
               help="Attempts to store or read one segment of a backup that make no "
                    "progress, before the backup or restore fails; the time between two "
                    "rises to 20 seconds."),
    cfg.IntOpt("object_store_timeout", default=60, min=1,
               help="Seconds of silence after which a connection to the object store is "
                    "given up."),
    cfg.StrOpt("log_path", default="/var/log/trove/trove-guestagent.log",
               help="File that the agent's own log goes to: the log 'guest' of the instance."),
    cfg.IntOpt("log_max_size", default=100 * 1024 ** 2, min=1024 ** 2,
               help="Bytes from which a log of the database is put aside and a new one "
                    "begun, on small volumes a fortieth of their size; the one put aside "
                    "before is removed."),
    cfg.BoolOpt("restart_database", default=True,
                help="Whether the agent starts a database that ended and that its "
                     "supervisor does not start again."),
    cfg.IntOpt("restart_wait_max", default=300, min=1,
               help="Seconds between two such starts at most; the first comes at once, "
                    "and the time between two doubles from 5 seconds."),
    cfg.IntOpt("crash_loop_count", default=3, min=2,
               help="Ends of the database within ten minutes after which it is shown as "
                    "CRASHED until it has run for a while."),
    cfg.IntOpt("crash_loop_quiet", default=60, min=1,
               help="Seconds without an end of the database after which such a loop is "
                    "over."),
]

VOLUME_OPTS: list[cfg.Opt] = [
    cfg.IntOpt("num_tries", default=30, min=1,
               help="Looks, a second apart, for a volume's device before giving up."),
    cfg.IntOpt("volume_format_timeout", default=600, min=1,
               help="Seconds that making or growing a file system may take."),
    cfg.StrOpt("format_options", default="-m 1",
               help="Options for mkfs of ext3 and ext4."),
    cfg.IntOpt("block_device_readahead", default=0, min=0,
               help="Read-ahead of data volumes in sectors of 512 bytes; 0 leaves the "
                    "kernel's value."),
    cfg.StrOpt("fstab_path", default="/etc/fstab",
               help="Table that mounts are written to, so that they outlast a reboot."),
]


DEVICE_TYPE_OPTS: list[cfg.Opt] = [
    *(cfg.DictOpt(f"block_{fstype}", default={
        "raw_block_device": "true", "mount_type": fstype},
        help=f"Block devices with {fstype}: whether an empty one is formatted "
             "(raw_block_device), the file system (mount_type), and mount_options; without "
             "these, the control plane's hold.")
      for fstype in ("ext3", "ext4", "xfs")),
    cfg.DictOpt("shared", default={
        "raw_block_device": "false", "mount_type": "nfs", "mount_options": "-o rw"},
        help="Shared file systems, mounted as they are: each instance has a directory of its "
             "own in the share."),
]

VOLUME_MAPPING_OPTS: list[cfg.Opt] = [
    cfg.DictOpt("data", default={"mount_priority": "1"},
                help="The volume of the data: mount_point, by default that of the datastore, "
                     "and mount_priority; volumes are mounted in the order of their "
                     "priorities."),
    cfg.DictOpt("binlog", default={"mount_point": "binlog", "mount_priority": "2"},
                help="The volume of binary logs; a mount_point that is no absolute path is "
                     "below that of the data."),
    cfg.DictOpt("user_log", default={"mount_point": "userlog", "mount_priority": "2"},
                help="The volume of the logs that users read."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the agent's options."""
    conf.register_opts(IDENTITY_OPTS)
    conf.register_opts(AGENT_OPTS)
    conf.register_opts(GROUP_OPTS, group="guest_agent")
    conf.register_opts(VOLUME_OPTS, group="guest_volume")
    conf.register_opts(DEVICE_TYPE_OPTS, group="device_type")
    conf.register_opts(VOLUME_MAPPING_OPTS, group="volume_mapping")


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [
        (None, IDENTITY_OPTS + AGENT_OPTS),
        ("guest_agent", GROUP_OPTS),
        ("guest_volume", VOLUME_OPTS),
        ("device_type", DEVICE_TYPE_OPTS),
        ("volume_mapping", VOLUME_MAPPING_OPTS),
    ]
