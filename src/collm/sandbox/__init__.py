"""Running model-written Python: nothing it does reaches the trainer, and no verdict is its own.

``Sandbox.run`` tries a batch of ``Job``s on a pool of warm workers and reports plain values. A worker is a small
interpreter (the zygote) that forks one process per program, the subject. The subject takes on its limits, loads the
source and answers the calls that the parent sends one by one; expected values never enter it, and whatever it writes
on its line is a value or an error. A data set's own test code runs in a second process of the same kind, the judge,
whose calls of the candidate pass through the parent. At the end, at the time limit or when the parent dies, the whole
process tree is killed from outside.

Layers, each tried when the sandbox starts and left out where the system refuses it (``Sandbox.level`` says which hold):

* limits on processor time, memory, files, descriptors and processes; an identity without privileges;
* namespaces: no other process, network interface, shared memory or file tree is visible;
* a root that holds the standard library and nothing else, read-only; Landlock, which says the same once more;
* seccomp: no call that makes a process or thread, runs a program, opens a socket, sends a signal or changes a file.

Elsewhere than on Linux there are the limits and the killing: the level is then ``limits only``, a program can read
files and reach the network, and model-written code should run in a virtual machine or container of its own.

What it does not stop, at any level:

* A bug in the kernel. All programs share it; where code may be hostile rather than clumsy, add a virtual machine.
* Wasted time: a program may use all the time and memory its limits allow. On a machine so busy that ``seconds`` pass
  before ``cpu_seconds`` are used, the outcome of a slow program depends on that.
* Reading the standard library, the clock, the kernel's version and the number of processors, and timing others through
  what processors share.
* State within one job: a program may answer its third call from what it saw in the first two.
* A check's author: the judge is as confined as the subject, but its verdicts are its own.

Programs get a fixed hash seed, a fixed recursion limit, ``random`` seeded with 0, UTC, no input, output that goes
nowhere, no packages beside the standard library, no threads and no files. Where the superuser runs an interpreter that
others cannot read and the system refuses a private root, only the modules that a worker loads at its start can be
imported.
"""

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
