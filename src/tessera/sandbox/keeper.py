# SPDX-License-Identifier: Apache-2.0
"""The process that holds a sandbox's lease, and lives exactly as long as the sandbox.

`tessera run` becomes its program; here it cannot, because the program is in a pid namespace, whose first
process is bwrap's. So it stays, and stands for the program before the shell:

- Its exit code is the program's (128 + N for one that signal N ended), and it ends after the last process of
  the sandbox.
- A signal that somebody sends to it goes to the program. One that the terminal sends, such as for a Ctrl-C,
  goes to the program's whole process group, as a terminal does; the kernel tells the two apart. The program
  is in a session of its own, so it gets each once. Where a signal says "stop", the group is stopped and the
  keeper with it, and both go on together.
- KILL cannot be passed on. But bwrap asked the kernel to be killed when the keeper ends, and the first
  process of the sandbox when bwrap does; with that one the kernel ends all others, the mount namespace with
  the last of them, and the squashfuse process when its mount is gone. So whichever of them is killed, nothing
  is left. If it is squashfuse, whose end the program might not notice for long, the keeper ends the sandbox.

Signals are waited for, never handled: this is one loop without a single interruption.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from tessera.model.errors import SandboxFailed
from tessera.sandbox import syscalls
from tessera.sandbox.inside import User
from tessera.sandbox.namespaces import Namespaces

_FROM_KERNEL = 0x80  # si_code of signals that the terminal sends
_RETRY = 0.01  # seconds
# Those that a process brings upon itself, those that cannot be caught, and those of children and reads.
_OWN = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGABRT,
        signal.SIGPIPE,
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCHLD,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
)
FORWARDED = signal.valid_signals() - _OWN


class Keeper:
    """One sandbox from its start to its end."""

    def __init__(self, server: int) -> None:
        """`server` is the pid of the child that serves the image."""
        syscalls.adopt_orphans()
        self._server = server
        self._server_ended = False
        self._waited = FORWARDED | {signal.SIGCHLD}
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._waited)
        self._pending: list[tuple[int, bool]] = []

    def run(
        self,
        bwrap: str,
        words: Sequence[str],
        command: Sequence[str],
        namespaces: Namespaces,
        user: User,
    ) -> int:
        """Runs `command` in the sandbox that `words` describe; its exit code. Raises SandboxFailed."""
        status, told = os.pipe()
        arguments = _as_file(words)
        self._bwrap = subprocess.Popen(
            [bwrap, "--args", str(arguments), "--json-status-fd", str(told), "--", *command],
            env={},
            pass_fds=(arguments, told, namespaces.inner),
            start_new_session=True,
            preexec_fn=self._in_bwrap(os.getpid(), namespaces, user),  # noqa: PLW1509 (there is one thread)
        )
        os.close(told)
        os.close(arguments)
        with open(status, "rb") as report:
            first = _first_process(report.readline())
            if first is None:
                self._bwrap.wait()
                raise _not_made()
            self._wait(first)
            # An orphan by now, and so a child of this process; what it ends with does not matter.
            with suppress(ChildProcessError):
                os.waitpid(first, 0)
            started = b"exit-code" in report.read()
        return self._exit_code(started)

    def close(self) -> None:
        """Ends what serves the image, once nobody reads it any more."""
        if not self._server_ended:
            os.kill(self._server, signal.SIGKILL)
            os.waitpid(self._server, 0)
            self._server_ended = True

    def _in_bwrap(self, keeper: int, namespaces: Namespaces, user: User) -> Callable[[], None]:
        def prepare() -> None:
            namespaces.become_bwrap(user)
            namespaces.forbid_more()
            syscalls.die_with_parent(signal.SIGKILL)
            if os.getppid() != keeper:  # it ended before the kernel was asked
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

        return prepare

    def _wait(self, first: int) -> None:
        """Returns when bwrap has ended; passes signals on until then."""
        while self._bwrap.returncode is None:
            if self._pending:
                self._pending = [one for one in self._pending if not _pass_on(first, *one)]
                found = signal.sigtimedwait(self._waited, _RETRY)
            else:
                found = signal.sigwaitinfo(self._waited)
            if found is None:
                continue
            if found.si_signo == signal.SIGCHLD:
                self._reap()
            else:
                self._pending.append((found.si_signo, found.si_code == _FROM_KERNEL))

    def _reap(self) -> None:
        self._bwrap.poll()
        if not self._server_ended and os.waitpid(self._server, os.WNOHANG)[0]:
            self._server_ended = True
            self._bwrap.kill()

    def _exit_code(self, started: bool) -> int:
        code = self._bwrap.returncode
        if self._server_ended:
            raise SandboxFailed(
                "The process that serves the image's files ended; the program was ended, too.",
                "Start it again. If it happens again, check the image: tessera image verify",
            )
        if not started and code > 0:
            raise _not_made()
        return code if code >= 0 else 128 - code


def _not_made() -> SandboxFailed:
    return SandboxFailed(
        "bwrap could not make the sandbox, or it was killed.",
        "What it said is above; `tessera doctor` looks for what is missing.",
    )


def _as_file(words: Sequence[str]) -> int:
    """The words in a file for bwrap's --args: on a command line, everybody could read them."""
    fd = os.memfd_create("arguments")
    with open(os.dup(fd), "wb") as file:
        file.write(b"".join(os.fsencode(word) + b"\0" for word in words))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _first_process(line: bytes) -> int | None:
    """The pid of the sandbox's first process, from bwrap's status."""
    try:
        return int(json.loads(line)["child-pid"])
    except (ValueError, KeyError, TypeError):
        return None


def _pass_on(first: int, number: int, to_group: bool) -> bool:
    """Sends a signal to the program of the sandbox; False while there is none yet."""
    for program in _children(first):
        if _pid_inside(program) != 2:
            continue
        if number == signal.SIGTSTP:
            # The program's group has no parent in its session, and the kernel lets none of those stop itself.
            os.killpg(os.getpgid(program), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif to_group or number == signal.SIGCONT:
            os.killpg(os.getpgid(program), number)
        else:
            os.kill(program, number)
        return True
    return False


def _children(pid: int) -> Iterator[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            yield from map(int, file.read().split())
    except OSError:
        return


def _pid_inside(pid: int) -> int | None:
    """The pid that a process has in its own namespace."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
    except OSError:
        pass
    return None
