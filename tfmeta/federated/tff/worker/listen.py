"""Puts a private Unix socket where TFF's worker wants to listen on the network.

The worker can only listen on `[::]:port`, that is on every network interface. So `launch` makes its `listen` system
call wait for us (seccomp user notification). We then put our Unix socket in the network socket's place, under the same
descriptor number, and answer that `listen` succeeded. This needs no privilege, but Linux 5.9; no library does it.
"""

import array
import fcntl
import os
import socket
import struct

# Linux x86-64: _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp),
# _IOW('!', 3, struct seccomp_notif_addfd)
NOTIF_RECEIVE, NOTIF_SEND, NOTIF_ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40182103
NOTIF_SIZE, ADD_AT_NUMBER = 80, 1  # sizeof(struct seccomp_notif), SECCOMP_ADDFD_FLAG_SETFD


def listening_socket(path: str) -> socket.socket:
    """Return a Unix socket that listens at `path`, non-blocking as gRPC wants it; raises `OSError`."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def answer_listen(notification: int, listener: socket.socket) -> None:
    """Answer the `listen` that waits at descriptor `notification`, with `listener` in its socket's place, or raise."""
    request = array.array("B", bytes(NOTIF_SIZE))
    fcntl.ioctl(notification, NOTIF_RECEIVE, request)
    # struct seccomp_notif {u64 id; u32 pid, flags; struct seccomp_data {int nr; u32 arch; u64 ip, args[6]}}
    identity, _pid, _flags, _number, _arch, _pointer, network_socket = struct.unpack_from("QIIiIQQ", request)
    # struct seccomp_notif_addfd {u64 id; u32 flags, srcfd, newfd, newfd_flags}
    added = struct.pack("QIIII", identity, ADD_AT_NUMBER, listener.fileno(), network_socket, os.O_CLOEXEC)
    fcntl.ioctl(notification, NOTIF_ADD_DESCRIPTOR, added)
    # struct seccomp_notif_resp {u64 id; s64 val; s32 error; u32 flags}: listen returns 0
    fcntl.ioctl(notification, NOTIF_SEND, struct.pack("QqiI", identity, 0, 0, 0))
