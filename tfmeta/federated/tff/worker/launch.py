"""What runs between tfmeta and TFF's worker: it ties the worker's life to its parent's, then becomes the worker.

A program of its own (``python -I -S launch.py PARENT CONTROL MODE BINARY ARGUMENT...``), standard library only: all
of this must happen in the child, and running Python between fork and exec of a process that has TensorFlow's
threads can deadlock. MODE "socket" also makes the worker's ``listen`` wait for its parent (see `listen`); "port"
leaves it alone. What the launcher has to say goes through CONTROL, a Unix socket:

    b"ready" (+ the filter's notification descriptor in mode "socket"), then end of file once the exec succeeded
    b"unavailable: <why>"   the kernel or a sandbox does not allow the filter
    b"failed: <why>"        the worker cannot be executed

Linux x86-64 only, as TFF is.
"""

import ctypes
import os
import signal
import socket
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

SYS_SECCOMP = 317  # numbers of x86-64
SYS_LISTEN = 50
AUDIT_ARCH_X86_64 = 0xC000003E

SECCOMP_SET_MODE_FILTER = 1
# SPEC_ALLOW: kernels before 5.16 otherwise slow a filtered process down with speculation mitigations.
FLAGS = 1 << 2 | 1 << 3  # SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_NEW_LISTENER
RET_KILL_PROCESS, RET_USER_NOTIF, RET_ALLOW = 0x80000000, 0x7FC00000, 0x7FFF0000

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF over struct seccomp_data {int nr; u32 arch; ...}


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


LISTEN_FILTER = b"".join(
    (
        _instruction(LOAD, 4),
        _instruction(JUMP_IF_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        _instruction(RETURN, RET_KILL_PROCESS),  # a 32-bit call would have other numbers
        _instruction(LOAD, 0),
        _instruction(JUMP_IF_EQUAL, SYS_LISTEN, 0, 1),
        _instruction(RETURN, RET_USER_NOTIF),
        _instruction(RETURN, RET_ALLOW),
    )
)


def install_filter(libc: ctypes.CDLL) -> int:
    """Let every later ``listen`` of this process wait for its parent's answer; return the notification descriptor.

    The filter survives exec. Once the last copy of the descriptor is closed, ``listen`` fails with ENOSYS.
    Raises OSError where the kernel (before 5.0) or a sandbox does not allow it.
    """
    program = ctypes.create_string_buffer(LISTEN_FILTER, len(LISTEN_FILTER))
    header = struct.pack("HxxxxxxP", len(LISTEN_FILTER) // 8, ctypes.addressof(program))  # struct sock_fprog
    descriptor = -1
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        descriptor = libc.syscall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, FLAGS, ctypes.create_string_buffer(header))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return descriptor


def main(arguments: list[str]) -> None:
    """Become the worker; returns only if that is impossible."""
    parent, control_number, mode, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the line above could take effect
        return
    control = socket.socket(fileno=int(control_number))
    control.set_inheritable(False)  # so the exec closes it, which tells the parent that it succeeded
    if mode == "socket":
        try:
            descriptor = install_filter(libc)
        except OSError as error:
            control.sendall(f"unavailable: {error}".encode())
            return
        socket.send_fds(control, [b"ready"], [descriptor])
        os.close(descriptor)
    else:
        control.sendall(b"ready")
    try:
        os.execv(command[0], command)
    except OSError as error:
        control.sendall(f"failed: {error}".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.exit(1)
