"""Puts a Unix socket of ours where TFF's worker wants to listen on the network.

The worker knows one address, ``[::]:port``: every network interface, without authentication, while it runs any
TensorFlow graph, reads and writes of files included, as its user. So `launch` makes its ``listen`` system call
wait for us (seccomp user notification). We put a listening Unix socket in the place of the network socket, under
the same descriptor number, and answer that ``listen`` succeeded. gRPC in the worker goes on and serves the Unix
socket; the network socket, which never listened, is closed. This needs no privilege, user namespace or relay, but
Linux 5.9.
"""

import array
import fcntl
import os
import socket
import struct

# Linux x86-64: _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp),
# _IOW('!', 3, struct seccomp_notif_addfd)
NOTIF_RECEIVE, NOTIF_SEND, NOTIF_ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40182103
NOTIF_SIZE = 80
ADD_AT_NUMBER = 1  # SECCOMP_ADDFD_FLAG_SETFD


def listening_socket(path: str) -> socket.socket:
    """A non-blocking Unix socket that listens at ``path`` (gRPC wants its listeners non-blocking). Raises OSError."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        listener.listen(16)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def answer_listen(notification: int, listener: socket.socket) -> None:
    """Answer the ``listen`` that waits at descriptor ``notification`` by putting ``listener`` in its socket's place.

    Blocks until there is one. Raises OSError if the kernel cannot (before 5.9) or the caller is gone.
    """
    request = array.array("B", bytes(NOTIF_SIZE))
    fcntl.ioctl(notification, NOTIF_RECEIVE, request)
    # struct seccomp_notif {u64 id; u32 pid, flags; struct seccomp_data {int nr; u32 arch; u64 ip, args[6]}}
    identity, _pid, _flags, _number, _arch, _pointer, network_socket = struct.unpack_from("QIIiIQQ", request)
    # struct seccomp_notif_addfd {u64 id; u32 flags, srcfd, newfd, newfd_flags}
    fcntl.ioctl(
        notification,
        NOTIF_ADD_DESCRIPTOR,
        struct.pack("QIIII", identity, ADD_AT_NUMBER, listener.fileno(), network_socket, os.O_CLOEXEC),
    )
    # struct seccomp_notif_resp {u64 id; s64 val; s32 error; u32 flags}: listen returns 0
    fcntl.ioctl(notification, NOTIF_SEND, struct.pack("QqiI", identity, 0, 0, 0))
