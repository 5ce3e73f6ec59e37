"""A small disk of its own for the demo's database, where this process may mount one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.database import USER_FOR_ROOT

_SIZE_BYTES = 6 << 30  # takes no more of the real disk than what is written to it
_FOLDERS = Path("/var/tmp")  # noqa: S108 - only mkdtemp's names are used in it


class NoDisk(Exception):
    """No disk can be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system. folder: an empty one on it, which the database's user owns."""

    mount: Path
    folder: Path

    def fill(self) -> int:
        """Takes all that is free, without writing it; how many bytes it has taken so far. Raises OSError."""
        status = os.statvfs(self.mount)
        free = status.f_bavail * status.f_frsize
        with self._filler.open("ab") as filler:
            # the last blocks one by one: how many it needs for its own notes nobody can tell
            for length in (free, 1 << 20, status.f_frsize):
                while _extended(filler.fileno(), length):
                    pass
            return filler.seek(0, os.SEEK_END)

    def free(self) -> None:
        """Gives it all back."""
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.mount / "filler"


@contextmanager
def small_disk() -> Iterator[Disk]:
    """An ext4 file system in a sparse file, mounted as long as the context lasts. Raises NoDisk."""
    if os.geteuid() != 0:
        raise NoDisk("only root mounts a file system")
    made = Path(tempfile.mkdtemp(prefix="crypto-chaos-", dir=_FOLDERS))
    made.chmod(0o755)
    mount = made / "mount"
    mount.mkdir()
    image = made / "image"
    try:
        image.touch()
        os.truncate(image, _SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(mount))
        try:
            folder = mount / "data"
            folder.mkdir(mode=0o700)
            owner = pwd.getpwnam(USER_FOR_ROOT)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            yield Disk(mount, folder)
        finally:
            _run("umount", str(mount))
    finally:
        shutil.rmtree(made)


def _extended(file: int, length: int) -> bool:
    end = os.lseek(file, 0, os.SEEK_END)
    try:
        os.posix_fallocate(file, end, length)
    except OSError:
        return False
    return True


def _run(*command: str) -> None:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise NoDisk(str(error)) from error
    if run.returncode != 0:
        raise NoDisk(f"{command[0]}: {run.stderr.strip()}")
