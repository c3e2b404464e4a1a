"""Jobs for the workers, sent by name."""

import asyncio
import logging
from typing import Any

import celery

from lsec.core.settings import Settings

SEND_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


def make_sender(settings: Settings) -> celery.Celery:
    """A Celery app that only sends; it gives up soon when the broker cannot be reached."""
    app = celery.Celery("lsec", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_transport_options={
            "socket_timeout": SEND_TIMEOUT_S / 2,
            "socket_connect_timeout": SEND_TIMEOUT_S / 2,
            "max_retries": 0,
        },
    )
    return app


class Jobs:
    """The sending of jobs, off the event loop."""

    def __init__(self, sender: celery.Celery) -> None:
        self._sender = sender

    async def send(self, job: str, *arguments: str, queue: str, **options: Any) -> None:
        """Send a job, with Celery's options; if the broker does not take it, any Exception.

        Celery lets its broker library's, the transport's and the socket's errors through.
        """

        def send() -> None:
            self._sender.send_task(job, args=list(arguments), queue=queue, retry=False, **options)

        await asyncio.wait_for(asyncio.to_thread(send), SEND_TIMEOUT_S)

    async def hurry(self, job: str, *arguments: str, queue: str, **options: Any) -> None:
        """Send a job that the schedule sends, too: so one that the broker does not take is late, not lost."""
        try:
            await self.send(job, *arguments, queue=queue, **options)
        except Exception:
            log.warning("the job %s waits for the schedule", job, exc_info=True)
