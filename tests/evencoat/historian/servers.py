"""A real PostgreSQL server for a test: started, killed and started again by it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

PLACES = [*os.get_exec_path(), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
INITDB, PG_CTL = (shutil.which(name, path=os.pathsep.join(PLACES)) for name in ("initdb", "pg_ctl"))


class Server:
    """A server on a Unix socket in its folder, for nobody but who may enter that."""

    def __init__(self, folder: Path) -> None:
        """PostgreSQL refuses to run as root; root starts it as somebody else, who then owns the folder."""
        self.folder, self._as = folder, list[str]()
        if os.getuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, user)
            self._as = ["setpriv", f"--reuid={user}", "--clear-groups", f"--regid={pwd.getpwnam(user).pw_gid}"]
        quick = ("--no-sync", "--no-locale", "-E", "UTF8", "-A", "trust", "-U", "evencoat")
        self._call(str(INITDB), "-D", str(folder / "data"), *quick)
        self.start()

    @property
    def dsn(self) -> str:
        return f"host={self.folder} user=evencoat dbname=postgres password=hushhush"

    def start(self) -> None:
        settings = f"-c unix_socket_directories={self.folder} -c listen_addresses='' -c shared_buffers=16MB"
        self._control("-w", "-l", str(self.folder / "log"), "-o", settings, "start")

    def kill(self) -> None:
        """As a power cut would: no process of it says goodbye to anybody."""
        self._control("-m", "immediate", "stop")

    def _control(self, *words: str) -> None:
        self._call(str(PG_CTL), "-D", str(self.folder / "data"), *words)

    def _call(self, *words: str) -> None:
        subprocess.run([*self._as, *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
