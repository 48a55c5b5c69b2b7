"""Running model-written Python: nothing it does reaches the trainer, and no verdict is its own."""

from collm.sandbox.jobs import Call, Check, Job, Limits, Raised, Report, Result, Returned, Stopped, Verdict
from collm.sandbox.level import Level
from collm.sandbox.pool import Sandbox

__all__ = [
    "Call",
    "Check",
    "Job",
    "Level",
    "Limits",
    "Raised",
    "Report",
    "Result",
    "Returned",
    "Sandbox",
    "Stopped",
    "Verdict",
]
