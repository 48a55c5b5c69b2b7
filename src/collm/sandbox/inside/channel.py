"""Messages: to a child a length, then one plain value; to a zygote records of fixed size."""

from __future__ import annotations

import os
import struct
from typing import Any

from . import codec

HEAD = struct.Struct(">I")
"""What stands before every value on both sides."""

REQUEST = struct.Struct(">cI")
"""To a zygote. ``S`` (with a descriptor): start a child on it. ``E`` and its process id: end it."""
STARTED = struct.Struct(">I")
"""From a zygote: the process id."""
ENDED = struct.Struct(">id")
"""From a zygote: exit status as ``os.waitstatus_to_exitcode`` has it, and seconds of processor time."""

_PIECE = 1 << 18


class Channel:
    """A child's end of the line to the parent. The end of the line is the end of the process."""

    def __init__(self, descriptor: int, limit: int):
        self._descriptor = descriptor
        self._limit = limit
        self._ahead = b""

    def receive(self) -> Any:
        return codec.decode(self._read(HEAD.unpack(self._read(HEAD.size))[0]))

    def send(self, message: tuple[Any, ...]) -> None:
        """Raises ``codec.Refused``, and sends nothing, if a value in the message cannot cross."""
        data = codec.encode(message, self._limit)
        data = HEAD.pack(len(data)) + data
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _read(self, length: int) -> bytes:
        while len(self._ahead) < length:
            part = os.read(self._descriptor, _PIECE)
            if not part:
                os._exit(0)
            self._ahead += part
        data, self._ahead = self._ahead[:length], self._ahead[length:]
        return data
