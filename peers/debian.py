"""Programs that Debian has packages of: installed where root, apt and a repository are at hand. Only the standard library."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path


def bring(package: str, here: Callable[[], Path | None]) -> str:
    """Install a package unless ``here`` finds what it brings; return what came of it, for people. Its services are not started."""
    if found := here():
        return f"ready ({found})"
    if os.geteuid() or not shutil.which("apt-get"):
        return f"not here; where you may, run `apt-get install {package}` (its tests are skipped until then)"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", package]
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
        if found := here():
            return f"installed ({found})"
    why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"apt-get could not install it ({why}); its tests are skipped"
