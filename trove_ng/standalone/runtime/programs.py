"""What runs in a server, as data; supervisord keeps it running.

A further database engine is one more :class:`Program` in :data:`PROGRAMS`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SOCKET = "/run/supervisor.sock"
CONFIG = "/etc/supervisor/supervisord.conf"
#: a place for programs of an image or of user data
EXTRA = "/etc/supervisor/trove.d"


@dataclass(frozen=True)
class Directory:
    """A directory that must exist before a program starts."""

    path: str
    owner: str = "root"
    mode: int = 0o755
    #: None means the owner's
    group: str | None = None


@dataclass(frozen=True)
class Program:
    """A program of a server.

    ``command`` may hold ``{bin}``, the directory of the virtual environment's
    programs. ``needs`` are files without which the program is left out.
    ``stop_signal`` has it end, and ``stop_seconds`` is the time it gets for that before
    it is killed; ``user`` is whom it runs as from its beginning.
    """

    name: str
    command: str
    log: str
    user: str = "root"
    needs: tuple[str, ...] = ()
    directories: tuple[Directory, ...] = ()
    autostart: bool = True
    autorestart: str = "true"
    start_seconds: int = 1
    stop_signal: str = "TERM"
    stop_seconds: int = 30
    priority: int = 500


GUEST_CONFIG = "/etc/trove/conf.d/trove-guestagent.conf"
GUEST_INFO = "/etc/trove/conf.d/guest_info.conf"

PROGRAMS = (
    Program(
        name="trove-guestagent",
        command="{bin}/trove-guestagent"
                f" --config-file {GUEST_CONFIG} --config-file {GUEST_INFO}",
        log="/var/log/trove/trove-guestagent.log",
        needs=(GUEST_CONFIG, GUEST_INFO),
        directories=(Directory("/var/log/trove", mode=0o750),),
        priority=900,
    ),
    Program(
        name="mariadb",
        command="/usr/sbin/mariadbd --user=mysql",
        log="/var/log/mysql/mariadbd.log",
        needs=("/usr/sbin/mariadbd",),
        directories=(
            Directory("/run/mysqld", "mysql"),
            Directory("/var/log/mysql", "mysql", 0o2750),
            Directory("/var/lib/mysql", "mysql"),
        ),
        autostart=False,
        autorestart="unexpected",
        stop_seconds=600,
    ),
    Program(
        name="postgresql",
        command="/usr/lib/postgresql/15/bin/postgres -D /etc/postgresql/15/main",
        user="postgres",
        log="/var/log/postgresql/server.log",
        needs=("/usr/lib/postgresql/15/bin/postgres",),
        directories=(
            Directory("/etc/postgresql"),
            Directory("/run/postgresql", "postgres", 0o2775),
            # root opens the log: no other may put something else in its place
            Directory("/var/log/postgresql", mode=0o2750, group="postgres"),
            Directory("/var/lib/postgresql", "postgres"),
        ),
        autostart=False,
        autorestart="unexpected",
        # TERM waits for all clients to leave
        stop_signal="INT",
        stop_seconds=600,
    ),
    Program(
        name="redis",
        command="/usr/bin/redis-server /etc/redis/redis.conf",
        user="redis",
        log="/var/log/redis/server.log",
        needs=("/usr/bin/redis-server",),
        directories=(
            Directory("/etc/redis", "redis", 0o2770),
            Directory("/run/redis", "redis"),
            Directory("/var/log/redis", "redis", 0o2750),
            Directory("/var/lib/redis", "redis"),
        ),
        autostart=False,
        autorestart="unexpected",
        stop_seconds=600,
    ),
)


def usable(programs: Iterable[Program]) -> list[Program]:
    """Return the programs whose needs are met here."""
    return [program for program in programs
            if all(os.path.exists(path) for path in program.needs)]


def render(programs: Iterable[Program], bin_dir: str) -> str:
    """Return supervisord's configuration.

    :param bin_dir: directory of the virtual environment's programs
    """
    sections = [
        f"[unix_http_server]\nfile={SOCKET}\nchmod=0700\n",
        "[supervisord]\nuser=root\nlogfile=/var/log/supervisor/supervisord.log\n"
        "logfile_maxbytes=5MB\nlogfile_backups=1\npidfile=/run/supervisord.pid\n"
        "childlogdir=/var/log/supervisor\n",
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
        f"[supervisorctl]\nserverurl=unix://{SOCKET}\n",
        f"[include]\nfiles={EXTRA}/*.conf\n",
    ]
    sections += [_section(program, bin_dir) for program in programs]
    return "\n".join(sections)


def _section(program: Program, bin_dir: str) -> str:
    command = program.command.format(bin=bin_dir).replace("%", "%%")
    return "\n".join([
        f"[program:{program.name}]",
        f"command={command}",
        f"user={program.user}",
        f"priority={program.priority}",
        f"autostart={str(program.autostart).lower()}",
        f"autorestart={program.autorestart}",
        f"startsecs={program.start_seconds}",
        f"stopwaitsecs={program.stop_seconds}",
        f"stopsignal={program.stop_signal}",
        "redirect_stderr=true",
        f"stdout_logfile={program.log}",
        "stdout_logfile_maxbytes=20MB",
        "stdout_logfile_backups=2",
        "",
    ])


def install(programs: Iterable[Program], bin_dir: str) -> None:
    """Write the configuration and make the directories of the usable programs."""
    found = usable(programs)
    for directory in (Directory("/var/log/supervisor"), Directory(EXTRA),
                      *(each for program in found for each in program.directories)):
        path = Path(directory.path)
        path.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(path):
            shutil.chown(path, directory.owner, directory.group or directory.owner)
            path.chmod(directory.mode)
    Path(CONFIG).write_text(render(found, bin_dir))
