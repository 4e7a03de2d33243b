"""Options of operations: how long they may take, how they are claimed."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "operations"

_TIMEOUTS = {
    "instance.create": "1800",
    "instance.create_replica": "86400",
    "instance.detach_replica": "900",
    "instance.promote": "3600",
    "instance.eject": "3600",
    "instance.delete": "900",
    "instance.force_delete": "900",
    "instance.restart": "600",
    "instance.resize_flavor": "1800",
    "instance.resize_volume": "1800",
    "instance.grow_set": "7200",
    "instance.configure": "600",
    "configuration.apply": "3600",
    "instance.set_tls": "1800",
    "instance.roll_back_tls": "1800",
    "instance.stop": "600",
    "instance.reboot": "1800",
    "instance.migrate": "3600",
    "instance.rebuild": "7200",
    "instance.upgrade": "7200",
    "instance.recover": "3600",
    "instance.upgrade_agent": "1800",
    "backup.create": "86400",
    "backup.seed_replicas": "90000",
    "backup.import": "3600",
    "backup.delete": "3600",
    "backup.delete_snapshot": "3600",
    "backup.snapshot": "3600",
    "backup.verify": "90000",
    "module.reapply": "86400",
}

OPTS: list[cfg.Opt] = [
    cfg.DictOpt("timeouts", default=_TIMEOUTS,
                help="Seconds until an operation fails, by action."),
    cfg.FloatOpt("default_timeout", default=3600, min=1,
                 help="Seconds for actions that 'timeouts' does not name."),
    cfg.FloatOpt("undo_timeout", default=900, min=1,
                 help="Seconds that a failed operation may take to clean up after itself."),
    cfg.FloatOpt("freeze_timeout", default=120, min=1,
                 help="Seconds that nobody may be able to write to a set of replicas while "
                      "its source is changed; what is not done by then is taken back. An "
                      "agent that is asked just then is waited for, at most for "
                      "guest_call_timeout."),
    cfg.IntOpt("step_tries", default=5, min=1,
               help="How often a step is tried while a service of the cloud does not answer."),
    cfg.FloatOpt("step_retry_interval", default=3, min=0,
                 help="Seconds between these tries."),
    cfg.FloatOpt("lease", default=30, min=1,
                 help="Seconds after which the operations of a taskmanager that is not "
                      "heard of any more are taken over by another one."),
    cfg.FloatOpt("idempotency_key_lifetime", default=86400, min=1,
                 help="Seconds that the answer to a request with an Idempotency-Key is kept."),
    cfg.FloatOpt("keep_days", default=90, min=0,
                 help="Days after which operations that have ended are removed; 0 keeps them."),
    cfg.FloatOpt("poll_interval", default=0.25, min=0.01,
                 help="Seconds between two looks at something that is waited for; grows to "
                      "'poll_interval_max'."),
    cfg.FloatOpt("poll_interval_max", default=3, min=0.01,
                 help="The longest time in seconds between two such looks at the cloud."),
    cfg.FloatOpt("store_poll_interval_max", default=1, min=0.01,
                 help="The longest time in seconds between two such looks at what agents have "
                      "reported: it stands in the database of the service, and costs no call "
                      "to the cloud."),
    cfg.FloatOpt("others_interval_max", default=10, min=0.01,
                 help="The longest time in seconds between two looks of an operation at "
                      "others that it waits for.  Meanwhile it has no thread of a "
                      "taskmanager, so that those have one; the sweep takes it again."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options."""
    conf.register_opts(OPTS, GROUP)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """Return the options for the sample configuration file."""
    return [(GROUP, OPTS)]
