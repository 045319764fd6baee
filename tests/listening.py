"""Watches for sockets that a program, or one that it starts, opens to the network."""

import contextlib
import ipaddress
import os
import threading

import psutil

EVERY = 0.4  # seconds between looks; TFF's own worker listens for as long as it lives


class OpenPorts(contextlib.AbstractContextManager):
    """Looks at a process and its descendants during a `with` block, which fails if one listens beyond this machine.

    Where the tests run with TFMETA_ALLOW_OPEN_PORT=1, because nothing can isolate a worker there, it does not fail.
    A socket is looked up by its inode among those of /proc/net/tcp and tcp6, so other programs do not matter. A
    descendant is watched on when its parent has ended.

    Args:
        pid: The process; by default this one.
    """

    def __init__(self, pid: int | None = None):
        self.found: set[tuple[str, str, int]] = set()  # name of the program, address, port
        self.looks = 0
        self._root = psutil.Process(os.getpid() if pid is None else pid)
        self._seen, self._over = {self._root}, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "OpenPorts":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is None and os.environ.get("TFMETA_ALLOW_OPEN_PORT") != "1":
            assert self.looks and not self.found, f"{self.looks} looks; open to other machines: {self.found}"

    def _watch(self):
        while True:
            self.look()
            if self._over.wait(EVERY):
                return

    def look(self) -> None:
        """Look once."""
        with contextlib.suppress(psutil.Error):
            self._seen.update(self._root.children(recursive=True))
        for process in list(self._seen):
            try:
                for each in process.net_connections("tcp"):
                    if each.status == psutil.CONN_LISTEN and not ipaddress.ip_address(each.laddr.ip).is_loopback:
                        self.found.add((process.name(), *each.laddr))
            except psutil.NoSuchProcess:
                self._seen.discard(process)
            except psutil.Error:  # it has just ended
                continue
        self.looks += 1
