"""The distributed form: Celery workers and beats around the same tasks, ledger and pipeline as the embedded one."""
