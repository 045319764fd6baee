"""Set up an environment, as `make env` does: bootstrap.py ENVIRONMENT LOCK [without-package]."""

import fcntl
import hashlib
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

from installer import ROOT, TOOLS, Installer, explain


class Environment:
    """The environment in `folder`, with what `lock` lists and, if wanted, the package of this checkout."""

    def __init__(self, folder: Path, lock: str, package: bool):
        self.folder, self.lock, self.package = folder, lock, package
        # lists checkout, folder and, once installed, digests of lock and package; no folder without it is emptied
        self.stamp, self.installer = folder / ".tfmeta-env", Installer(folder)
        sources = ([lock, TOOLS], ["setup.py", "tfmeta/__init__.py"] if package else [])
        contents = [b"\0".join((ROOT / name).read_bytes() for name in names) for names in sources]
        self.wanted = [str(ROOT), str(folder), *(hashlib.sha256(content).hexdigest() for content in contents)]

    def update(self) -> None:
        """Bring the environment to what the lock and setup.py say now; at once if it is there already."""
        made = self.stamp.read_text(errors="replace").splitlines() if self.stamp.exists() else []
        if not any(self.folder.glob(f"{self.stamp.name}*")) and self.folder.exists() and any(self.folder.iterdir()):
            sys.exit(f"tfmeta: {self.folder} was not made by make: use another folder with VENV=/path.")
        if made[1:] and made[1] == str(self.folder) and made[0] != str(ROOT) and Path(made[0]).is_dir():
            sys.exit(f"tfmeta: {self.folder} runs the code of {made[0]}: use another folder with VENV=/path.")
        works = os.access(self.installer.python, os.X_OK)
        if works and made == self.wanted:
            return
        if not works or made[:3] != self.wanted[:3]:
            self.install_lock()
        if self.package:
            self.installer.uv("install", "--offline", "--no-deps", "--no-build-isolation", "--reinstall", "-e", ".")
        self._write_stamp(lines=4)
        print(f"tfmeta: {self.folder} is ready.", file=sys.stderr)

    def install_lock(self) -> None:
        """Make the environment anew, with what the lock lists and nothing else."""
        print(f"tfmeta: setting up {self.folder}, which takes a minute or more.", file=sys.stderr)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_stamp(lines=2)
        self.empty()
        try:
            self.installer.create()
            wheels = ("--only-binary=:all:", "--no-binary=jax", "--no-build-isolation")
            if self.package:  # jax has no wheel; these build it, and uv checks their hashes, too
                self.installer.uv("install", f"--constraints={self.lock}", *wheels, "setuptools", "wheel")
            self.installer.uv("sync", "--require-hashes", "--compile-bytecode", *wheels, self.lock)
        except BaseException:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # this gives back the space, and must not stay half done
            self.empty()
            raise
        self._write_stamp(lines=3)

    def _write_stamp(self, lines: int) -> None:
        (new := self.stamp.with_suffix(".new")).write_text("\n".join(self.wanted[:lines]))
        new.replace(self.stamp)  # in one step: a kill or a full disk leaves the old stamp

    def empty(self) -> None:
        """Remove what is in the folder, but for the stamp and the log."""
        for entry in {*self.folder.iterdir()} - {self.stamp, self.installer.log}:
            remove = shutil.rmtree if entry.is_dir() and not entry.is_symlink() else Path.unlink
            remove(entry)


def main(folder: str, lock: str, *options: str) -> None:
    """Set up the environment in `folder`, when no other make is at work; exit with a sentence if that fails."""
    if platform.machine() != "x86_64" or platform.libc_ver() < ("glibc", "2.31"):
        sys.exit(f"tfmeta: TFF 0.87 needs Linux x86_64 with glibc 2.31 or newer, and this is {platform.platform()}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # handled like Ctrl-C
    try:
        with (ROOT / lock).open() as held:
            os.set_inheritable(held.fileno(), True)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("tfmeta: another make is installing here: waiting for it.", file=sys.stderr)
                fcntl.flock(held, fcntl.LOCK_EX)
            except OSError:
                pass  # this file system has no locks: go on without
            Environment(Path(folder).absolute(), lock, "without-package" not in options).update()
    except OSError as error:
        sys.exit(f"tfmeta: {explain(str(error))}.")
    except KeyboardInterrupt:
        sys.exit("tfmeta: interrupted: the next make sets the environment up again.")


if __name__ == "__main__":
    main(*sys.argv[1:])
