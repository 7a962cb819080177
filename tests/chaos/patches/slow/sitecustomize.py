"""A planner that takes a while to publish each message, so that it can be killed in between."""

import sys
import time

if "planner" in sys.orig_argv:
    import kombu.transport.redis as kombu_redis

    _stock = kombu_redis.Channel._put

    def _put(self, queue, message, **options):
        time.sleep(0.1)
        _stock(self, queue, message, **options)

    kombu_redis.Channel._put = _put
