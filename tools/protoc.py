"""Generate the link's Python from proto/, and check what is committed.

Without arguments it writes ``src/skerry/tunnel/link_pb2*``. ``--check`` fails where they are
stale, where ``buf lint`` finds something, or where the protocol breaks with the committed
baseline (``proto/baseline.binpb``: the protocol of the last release). ``--baseline`` writes it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
SOURCE = "skerry/link/v1/link.proto"
TARGET = ROOT / "src" / "skerry" / "tunnel"
FILES = ("link_pb2.py", "link_pb2.pyi", "link_pb2_grpc.py")
BASELINE = PROTO / "baseline.binpb"


def generate(folder: Path, proto: Path = PROTO) -> None:
    """Write the files that are generated from what stands in ``proto`` into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        arguments = ["protoc", f"-I{proto}", f"--python_out={scratch}", f"--pyi_out={scratch}", f"--grpc_python_out={scratch}", SOURCE]
        if protoc.main(arguments):
            raise SystemExit("protoc failed")
        for name in FILES:
            text = (Path(scratch) / "skerry" / "link" / "v1" / name).read_text()
            (folder / name).write_text(text.replace("from skerry.link.v1 import link_pb2", "from skerry.tunnel import link_pb2"))


def buf(*arguments: str) -> None:
    """Run buf in proto/; exits where it finds something."""
    program = shutil.which("buf", path=str(Path(sys.executable).parent)) or "buf"
    if subprocess.run([program, *arguments], cwd=PROTO, check=False).returncode:
        raise SystemExit(f"buf {arguments[0]} found something")


def main() -> None:
    """Generate or check."""
    if "--check" in sys.argv:
        with tempfile.TemporaryDirectory() as fresh:
            generate(Path(fresh))
            stale = [
                name for name in FILES if not (TARGET / name).exists() or (Path(fresh) / name).read_text() != (TARGET / name).read_text()
            ]
        if stale:
            raise SystemExit(f"{', '.join(stale)} do not match proto/; run `python tools/protoc.py`")
        buf("lint")
        buf("breaking", "--against", str(BASELINE))
        print("protocol: generated files are fresh, buf finds nothing")
    elif "--baseline" in sys.argv:
        buf("build", "-o", str(BASELINE))
    else:
        generate(TARGET)


if __name__ == "__main__":
    main()
