"""Whether the Hugging Face hub can be reached: asked once, so that nobody waits for its library to try again and again."""

from __future__ import annotations

import functools
import socket
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

_SECONDS = 5.0


def work_offline_without_network(name: str) -> None:
    """Before something is read that may be on the hub: without a connection to it, let its libraries read what they have
    kept, and nothing else, from now on. A ``name`` that is a local folder needs no hub."""
    if Path(name).is_dir() or _reachable():
        return
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    if "datasets" in sys.modules:
        sys.modules["datasets"].config.HF_HUB_OFFLINE = True


@functools.cache
def _reachable() -> bool:
    """Whether the hub's host accepts a connection; taken for granted where a proxy stands between."""
    from huggingface_hub import constants

    if urllib.request.getproxies():
        return True
    place = urlsplit(constants.ENDPOINT)
    port = place.port or (80 if place.scheme == "http" else 443)
    try:
        socket.create_connection((place.hostname or "", port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True
