"""The outside world, one adapter per file: stores, Redis, Celery, media, logs. No decisions about jobs."""
