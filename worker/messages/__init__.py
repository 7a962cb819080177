"""Celery's and kombu's messages: transport, what is no message, what waits, what is on its way."""
