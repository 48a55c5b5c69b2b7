"""Messages over a file descriptor, as a child sees them: a length, then one plain value."""

from __future__ import annotations

import os
import struct
from typing import Any

from . import codec

HEAD = struct.Struct(">I")
"""What stands before every message on both sides."""


class Channel:
    """One end of the line to the parent. The end of the line is the end of the process."""

    def __init__(self, descriptor: int, limit: int):
        self._descriptor = descriptor
        self._limit = limit

    def receive(self) -> Any:
        return codec.decode(self._read(HEAD.unpack(self._read(HEAD.size))[0]))

    def send(self, message: tuple[Any, ...]) -> None:
        """Raises ``codec.Refused``, and sends nothing, if a value in the message cannot cross."""
        data = codec.encode(message, self._limit)
        data = HEAD.pack(len(data)) + data
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            part = os.read(self._descriptor, min(length, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
