"""How many of the computer's cores this process may use."""

import os


def cores() -> int:
    """At least 1; those that it was bound to (by `taskset`, a job queue) where the system tells, else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
