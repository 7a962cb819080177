"""Messages of Celery and kombu: transport, malformed ones, delayed ones, those on their way."""
