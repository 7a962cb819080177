"""The workers: run the steps of a plan on Celery.

Celery is the transport and delivers at least once. The ledger in Redis is the authority on what
ran. The warehouse is the truth: a step succeeds when a recount shows its rows.
"""
