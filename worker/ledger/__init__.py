"""What is kept in Redis beside Celery's own keys: runs, steps, leases, budgets, workers' slots."""
