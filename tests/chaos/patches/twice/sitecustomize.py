"""Every message is put into its queue twice: for planners and workers that find this first.

A message that is sent again by its own task is the same message, and is not doubled again.
"""

import json
import sys
import uuid

if "worker" in sys.orig_argv or "planner" in sys.orig_argv:
    import kombu.transport.redis as kombu_redis

    from worker.messages import stencil

    _stock = kombu_redis.Channel._put
    _push = stencil.push

    def _put(self, queue, message, **options):
        _stock(self, queue, message, **options)
        headers = message["headers"]
        with self.conn_or_acquire() as client:
            is_new = client.hsetnx("chaos:twice", headers["id"], headers["shadow"])
        if is_new:
            properties = {**message["properties"], "delivery_tag": str(uuid.uuid4())}
            _stock(self, queue, {**message, "properties": properties}, **options)

    kombu_redis.Channel._put = _put

    def push(client, messages):
        """The first messages of a plan's chains are sent in bulk, past kombu."""
        doubled = []
        for place, text in messages:
            doubled.append((place, text))
            message = json.loads(text)
            headers = message["headers"]
            if client.hsetnx("chaos:twice", headers["id"], headers["shadow"]):
                message["properties"]["delivery_tag"] = str(uuid.uuid4())
                doubled.append((place, json.dumps(message)))
        _push(client, doubled)

    stencil.push = push
