"""What runs inside a worker's processes. Standard library only.

The parent reads ``codec``, ``channel`` and a name in ``judge`` too.

A worker is started as a plain interpreter that finds this folder as the top-level package ``inside``, so nothing else
of the library is imported there.
"""
