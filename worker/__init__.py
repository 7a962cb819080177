"""The fleet: runs the steps of a plan on Celery, and believes only the warehouse.

Celery is the transport and delivers at least once. The ledger in Redis is the authority on
what ran. The warehouse is the truth about what is there.
"""
