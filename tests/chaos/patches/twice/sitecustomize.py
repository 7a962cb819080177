"""Every message is put into its queue twice: for planners and workers that find this first.

A message that is sent again by its own task is the same message, and is not doubled again.
"""

import sys
import uuid

if "worker" in sys.orig_argv or "planner" in sys.orig_argv:
    import kombu.transport.redis as kombu_redis

    _stock = kombu_redis.Channel._put

    def _put(self, queue, message, **options):
        _stock(self, queue, message, **options)
        headers = message["headers"]
        with self.conn_or_acquire() as client:
            is_new = client.hsetnx("chaos:twice", headers["id"], headers["shadow"])
        if is_new:
            properties = {**message["properties"], "delivery_tag": str(uuid.uuid4())}
            _stock(self, queue, {**message, "properties": properties}, **options)

    kombu_redis.Channel._put = _put
