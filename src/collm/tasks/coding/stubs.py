"""Stand-ins for one of the two functions, to see what a program is worth without it."""

from __future__ import annotations

from collm.tasks.coding.problems import AUX

NOTHING = f"def {AUX}(*args, **kwargs):\n    return None"
"""A helper that returns nothing."""
SAME = f"def {AUX}(*args, **kwargs):\n    return next(iter((*args, *kwargs.values())), None)"
"""A helper that returns its first argument."""
THROUGH = "def {}(*args, **kwargs):\n    return " + AUX + "(*args, **kwargs)"
"""A main function that hands its own arguments to the helper and returns what that returns."""

_WRAPPED = """
def _stand_in(helper, main):
{body}

{aux}, {main} = _stand_in({aux}, {main})
"""
_CONSTANT = """
    past, now, depth = [], [], [0, 0]

    def constant(*args, **kwargs):
        if depth[1]:
            return helper(*args, **kwargs)
        if not now:
            depth[1] += 1
            try:
                now.append(helper(*args, **kwargs))
            finally:
                depth[1] -= 1
        return past[0] if past else None

    def again(*args, **kwargs):
        if not depth[0]:
            past[:], now[:] = now or past, []
        depth[0] += 1
        try:
            return main(*args, **kwargs)
        finally:
            depth[0] -= 1

    return constant, again
"""
_FIRST = """
    class Found(BaseException):
        pass

    found, depth = [], [0]

    def first(*args, **kwargs):
        if depth[0]:
            return helper(*args, **kwargs)
        depth[0] += 1
        try:
            value = helper(*args, **kwargs)
        finally:
            depth[0] -= 1
        if not found:
            found.append(value)
        raise Found

    def through(*args, **kwargs):
        found[:] = []
        try:
            main(*args, **kwargs)
        except BaseException:
            if not found:
                raise
        return found[0] if found else None

    return first, through
"""


def constant_helper(main: str) -> str:
    """What follows a program whose helper shall return, during each call of the main function, one and the same value:
    the first that the real helper returned during the call before, for the main function's needs there.
    """
    return _WRAPPED.format(aux=AUX, main=main, body=_CONSTANT.strip("\n"))


def first_of_helper(main: str) -> str:
    """What follows a program whose main function shall end with what its first call of the helper returns."""
    return _WRAPPED.format(aux=AUX, main=main, body=_FIRST.strip("\n"))
