"""Tells people: by a command, or by a web hook. What is told never decides what a run does.

A message is told once, whichever worker comes to it first; one that could not be delivered is
tried again a few times, and then logged.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import shlex
import subprocess
import time
from contextlib import suppress

import httpx
from redis import RedisError

from planner.report.message import Message
from planner.settings import Settings
from worker.ledger.keys import PREFIX
from worker.processes.secrets import learn, redacted
from worker.step.context import Context

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 2.0  # before the second try; then twice as long
DELIVER_SECONDS = 10.0  # for one try
TOLD_SECONDS = 30 * 86_400  # how long is remembered that something was told
SIGNATURE = "X-Backfill-Signature"


def notify(context: Context, message: Message, *, once: str) -> bool:
    """Deliver a message, if BACKFILL_NOTIFY says where to; whether it was delivered now.

    `once` tells it apart: of several workers that come to it, one delivers it. Raises nothing.
    """
    where = context.settings.notify
    if not where:
        return False
    if "://" in where:
        learn(where)  # the address of a web hook is a secret
    key = f"{PREFIX}:told:{message.event}:{message.run_id}:{once}"
    try:
        if not context.redis.set(key, "1", nx=True, ex=TOLD_SECONDS):
            return False
        _deliver(context.settings, message)
    except Exception as error:
        told = redacted(f"{type(error).__name__}: {error}")
        log.warning("%s could not be told of: %s", message.title, told)
        with suppress(RedisError):  # the next look that finds the same tries again
            context.redis.delete(key)
        return False
    return True


def _deliver(settings: Settings, message: Message) -> None:
    """Deliver it, with a few tries. Raises what the last one raised."""
    for attempt in range(TRIES):
        try:
            _try(settings, message)
        except Exception:
            if attempt + 1 == TRIES:
                raise
            time.sleep(PAUSE_SECONDS * 2**attempt)
        else:
            return


def _try(settings: Settings, message: Message) -> None:
    where, body = settings.notify or "", message.model_dump_json().encode()
    if where.startswith(("https://", "http://")):
        headers = {"Content-Type": "application/json"}
        if settings.notify_secret:
            secret = settings.notify_secret.get_secret_value()
            digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        answer = httpx.post(where, content=body, headers=headers, timeout=DELIVER_SECONDS)
        if not answer.is_success:
            raise OSError(f"the web hook answered {answer.status_code}")
        return
    done = subprocess.run(
        shlex.split(where), input=body, capture_output=True, timeout=DELIVER_SECONDS, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise OSError(f"the command exited with {done.returncode}: {said}")
