"""The program that becomes TFF's worker, after tying the worker's life to its parent's.

`python -I -S launch.py PARENT CONTROL BINARY ARGUMENT...` is a program because all this must happen in the child, and
Python code between fork and exec can deadlock in a process with TensorFlow's threads. CONTROL is the number of a Unix
socket to the parent, or -1. With a socket the worker's `listen` waits for the parent (see `listen`); the launcher sends
the filter's notification descriptor, or "unavailable: " and the reason. Linux x86-64 only, like TFF.
"""

import ctypes
import os
import signal
import socket
import struct
import sys

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SYS_LISTEN, SYS_SECCOMP = 50, 317  # numbers of x86-64
AUDIT_ARCH_X86_64, SECCOMP_SET_MODE_FILTER = 0xC000003E, 1
# SPEC_ALLOW: otherwise kernels before 5.16 slow a filtered process down with speculation mitigations
FLAGS = 1 << 2 | 1 << 3  # SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_NEW_LISTENER
RET_KILL_PROCESS, RET_USER_NOTIF, RET_ALLOW = 0x80000000, 0x7FC00000, 0x7FFF0000

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF over struct seccomp_data {int nr; u32 arch; ...}
INSTRUCTIONS = (  # code, jump if true, jump if false, value
    (LOAD, 0, 0, 4), (JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
    (RETURN, 0, 0, RET_KILL_PROCESS),  # a 32-bit call would have other numbers
    (LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, SYS_LISTEN), (RETURN, 0, 0, RET_USER_NOTIF), (RETURN, 0, 0, RET_ALLOW),
)  # fmt: skip
LISTEN_FILTER = b"".join(struct.pack("HBBI", *instruction) for instruction in INSTRUCTIONS)


def install_filter(libc: ctypes.CDLL) -> int:
    """Make every later `listen` of this process, also after exec, wait for an answer, or raise `OSError`.

    Returns the notification descriptor; once its last copy is closed, `listen` fails with ENOSYS.
    """
    program = ctypes.create_string_buffer(LISTEN_FILTER, len(LISTEN_FILTER))
    header = struct.pack("HxxxxxxP", len(INSTRUCTIONS), ctypes.addressof(program))  # struct sock_fprog
    descriptor = -1
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        descriptor = libc.syscall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, FLAGS, ctypes.create_string_buffer(header))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def main(parent: str, control_number: str, *command: str) -> None:
    """Become the worker; ends with a message on standard error if that is impossible."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # the kernel kills us when the parent ends, however it ends
    if os.getppid() != int(parent):
        sys.exit("the parent ended before the worker started")
    if int(control_number) >= 0:
        with socket.socket(fileno=int(control_number)) as control:
            try:
                descriptor = install_filter(libc)
            except OSError as error:
                control.sendall(f"unavailable: {error}".encode())
                sys.exit(f"no seccomp filter: {error}")
            socket.send_fds(control, [b"ready"], [descriptor])
            os.close(descriptor)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: cannot be executed: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
