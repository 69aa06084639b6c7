"""Which connections are closed: those that are overdue, and the slowest when others need their place."""

import logging
import time
from collections.abc import Iterable

from predict.http.connections import limits
from predict.http.connections.channel import Channel

log = logging.getLogger("predict")


def close_overdue(channels: Iterable[Channel], request_timeout_s: float, crowded: bool) -> None:
    """Close connections that have waited for their client, or for their answer, for too long.

    Args:
        channels: All connections.
        request_timeout_s: How long a worker thread may take for an answer.
        crowded: Whether unread answers take much memory.
    """
    now, wall = time.monotonic(), time.time()
    reading_s = limits.READING_TIMEOUT_UNDER_PRESSURE_S if crowded else limits.READING_TIMEOUT_S
    for channel in list(channels):
        if channel.requests:
            if channel.started_at and now - channel.started_at > request_timeout_s:
                log.error("gave up a request that took more than %.0f s", request_timeout_s)
                channel.give_up()
        elif channel.total_outbufs_len:
            stuck = wall - channel.last_activity > reading_s
            slow = 0 < channel.sending_since < now - limits.LONGEST_READING_S
            if stuck or slow:
                log.warning("closed a connection: its client did not read its answer")
                channel.handle_close()
        elif channel.discarding_since:
            if now - channel.discarding_since > limits.LONGEST_DISCARDING_S:
                channel.handle_close()
        elif channel.request is None:
            if now - channel.quiet_since > limits.IDLE_TIMEOUT_S:
                channel.handle_close()
        elif now - channel.quiet_since > channel.most_arriving_s():
            channel.refuse_arriving(408, "The request took too long to arrive.")


def make_room(channels: Iterable[Channel]) -> None:
    """Close the connections that have waited for their client for the longest time.

    Those that have never sent a whole request, or are slow to send one, go first.
    """
    now = time.monotonic()
    old, old_probe = now - limits.SLOW_AFTER_S, now - limits.SLOW_PROBE_AFTER_S
    slow = [
        channel
        for channel in channels
        if channel.quiet_since < (old_probe if channel.for_probes else old)
        and not channel.requests
        and not channel.total_outbufs_len
    ]
    slow.sort(key=lambda one: (one.has_asked and one.request is None, one.quiet_since))
    for channel in slow[: limits.MAKE_ROOM]:
        channel.refused = False  # or its closing would wait
        channel.handle_close()
