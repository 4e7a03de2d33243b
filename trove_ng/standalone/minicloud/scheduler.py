"""What the minicloud does later: jobs that survive a restart."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trove_ng.standalone.minicloud.store import Document, Store

LOG = logging.getLogger(__name__)

Work = Callable[[str, dict[str, Any]], None]
_KIND = "job"


class Scheduler:
    """Runs jobs in threads, those of one resource in order and one at a time.

    A job is stored in the transaction that schedules it, and deleted after it ran: a kill
    between makes it run again.

    :param delays: job name, or its part before the dot → seconds until it runs; the key
        ``default`` holds for all others
    :param stuck: says that a job must never run (fault injection)
    """

    def __init__(self, store: Store, delays: Mapping[str, float] | None = None,
                 workers: int = 16,
                 stuck: Callable[[str, str], bool] = lambda _name, _resource: False) -> None:
        self._store = store
        self._delays = dict(delays or {})
        self._stuck = stuck
        self._works: dict[str, Work] = {}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._queues: dict[str, deque[Document]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._started = False

    def register(self, name: str, work: Work) -> None:
        """Name the function that does a kind of job.

        :param work: is given the resource's id and the arguments; it may be called again
            with the same ones after a crash
        """
        self._works[name] = work

    def start(self) -> None:
        """Run the jobs that an earlier process left, and those to come."""
        with self._lock:
            self._started = True
        for job in self._store.list(_KIND):
            self._enqueue(job)

    def stop(self) -> None:
        """Run no more jobs; those that wait run after the next start."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def schedule(self, name: str, resource_id: str,
                 args: dict[str, Any] | None = None) -> None:
        """Have a job run once the present transaction is committed, after its delay."""
        job: Document = {"id": str(uuid.uuid4()), "name": name, "resource": resource_id,
               "args": args or {}}
        self._store.put(_KIND, job["id"], job, "")
        self._store.after_commit(lambda: self._enqueue(job))

    def _enqueue(self, job: Document) -> None:
        with self._lock:
            if not self._started or self._stopping.is_set():
                return  # start() finds it
            queue = self._queues.get(job["resource"])
            if queue is not None:
                queue.append(job)
                return
            self._queues[job["resource"]] = deque([job])
        self._pool.submit(self._drain, job["resource"])

    def _drain(self, resource_id: str) -> None:
        while True:
            with self._lock:
                queue = self._queues[resource_id]
                if not queue or self._stopping.is_set():
                    del self._queues[resource_id]
                    return
                job = queue[0]
            self._run(job)
            with self._lock:
                queue.popleft()

    def _run(self, job: Document) -> None:
        name, resource_id = job["name"], job["resource"]
        delay = self._delays.get(name, self._delays.get(
            name.partition(".")[0], self._delays.get("default", 0)))
        if delay and self._stopping.wait(delay):
            return
        if self._stuck(name, resource_id):
            LOG.warning("job %s of %s is stuck, as a fault rule says", name, resource_id)
            self._store.delete(_KIND, job["id"])
            return
        work = self._works.get(name)
        begun = time.monotonic()
        try:
            if work is None:
                raise LookupError(f"nothing does {name}")
            work(resource_id, job["args"])
        except Exception:
            LOG.exception("job %s of %s failed", name, resource_id)
        else:
            LOG.info("job %s of %s took %.2f s", name, resource_id, time.monotonic() - begun)
        self._store.delete(_KIND, job["id"])
