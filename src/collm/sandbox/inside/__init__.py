"""What runs inside a worker's processes. Standard library only; ``codec`` and ``asserts`` are read by the parent too.

A worker is started as a plain interpreter that finds this folder as the top-level package ``inside``, so nothing else
of the library is imported there.
"""
