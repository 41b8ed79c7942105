"""Run the bus tests on a real kernel's SocketCAN, inside a small machine of its own: `make test-socketcan`.

    python -m tests.socketcan.vm [--kernel FILE] [--modules DIR] [--busybox FILE] [--qemu FILE]

A Linux kernel boots under qemu (no KVM, no root and no network needed), mounts this machine's files read-only over 9p,
makes vcan0 and runs pytest from this very environment. What is missing is said, and nothing is run then: exit code 0.
Debian's packages of PACKAGES have all of it, installed or unpacked anywhere and named. $QEMU_ARGS is handed on to qemu.
"""

from __future__ import annotations

import argparse
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/firmware_bridge/test_buses.py", "tests/socketcan/test_socketcan.py")
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "can-raw", "vcan")  # with all that they need
PACKAGES = "qemu-system-x86 linux-image-amd64 busybox-static"
BOOT_S = 900  # until a machine that does not end is stopped: emulated, it is many times slower than this one
EXIT_WORD = "SOCKETCAN-EXIT"

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
for module in {modules}; do /bin/busybox insmod /modules/$module || echo "no module $module"; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host
for place in proc sys dev; do /bin/busybox mount -o bind /$place /host/$place; done
/bin/busybox mkdir -p /host/dev/shm
/bin/busybox mount -t tmpfs none /host/dev/shm
/bin/busybox ip link set lo up
/bin/busybox chroot /host /bin/sh -c {command}
echo {word} $?
/bin/busybox poweroff -f
"""

GUEST = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/dev/shm HOME=/dev/shm PYTHONDONTWRITEBYTECODE=1
export OPENBLAS_NUM_THREADS=1 PYTHONPATH={root} EVENCOAT_SOCKETCAN=vcan0
{python} -m tests.socketcan.link vcan0 || exit 70
cd {root} && exec {python} -m pytest -q --color=no -p no:cacheprovider {tests}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qemu", type=Path, default=_found("qemu-system-x86_64"))
    parser.add_argument("--busybox", type=Path, default=_found("busybox"))
    parser.add_argument("--kernel", type=Path, default=_newest("/boot", "vmlinuz-*"))
    parser.add_argument("--modules", type=Path, default=_newest("/lib/modules", "*"))
    given = parser.parse_args()
    for name in ("qemu", "busybox", "kernel", "modules"):
        place = getattr(given, name)
        if place is None or not place.exists():
            print(f"skipped: no {name} at {place or 'its usual place'}. Debian has it: apt-get install {PACKAGES}")
            return 0
    with tempfile.TemporaryDirectory() as folder:
        initramfs = Path(folder) / "initramfs"
        initramfs.write_bytes(_archive(_files(given.busybox, given.modules)))
        return _boot(given.qemu, given.kernel, initramfs)


def _boot(qemu: Path, kernel: Path, initramfs: Path) -> int:
    """Run the machine and hand its words on; the exit code of its tests, 1 when it never came to them."""
    call = [
        str(qemu), "-cpu", "max", "-m", "1536", "-nographic", "-no-reboot", "-net", "none",
        "-kernel", str(kernel), "-initrd", str(initramfs), "-append", "console=ttyS0 panic=-1 quiet",
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        *shlex.split(os.environ.get("QEMU_ARGS", "")),
    ]  # fmt: skip
    code = 1
    with subprocess.Popen(call, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace") as vm:
        assert vm.stdout is not None
        patience = threading.Timer(BOOT_S, vm.kill)
        patience.start()
        try:
            for line in vm.stdout:
                print(line.rstrip())
                if line.startswith(EXIT_WORD):
                    code = int(line.split()[1])
        finally:
            patience.cancel()
            vm.kill()
    return code


def _files(busybox: Path, modules: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and mode of what the machine begins with."""
    for folder in ("bin", "dev", "host", "modules", "proc", "sys"):
        yield folder, b"", 0o040755
    yield "bin/busybox", busybox.read_bytes(), 0o100755
    names = []
    for name, code in _in_order(modules):
        names.append(f"{name}.ko")
        yield f"modules/{name}.ko", code, 0o100644
    guest = GUEST.format(root=ROOT, python=sys.executable, tests=" ".join(TESTS))
    init = INIT.format(modules=" ".join(names), command=shlex.quote(guest), word=EXIT_WORD)
    yield "init", init.encode(), 0o100755


def _in_order(modules: Path) -> list[tuple[str, bytes]]:
    """Name and code of the modules that MODULES need, each after those it depends on, as its own file says."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in order or name not in files:
            return  # built in
        code = files[name].read_bytes()
        code = lzma.decompress(code) if files[name].suffix == ".xz" else code
        needs = re.search(rb"\0depends=([^\0]*)\0", code)
        for other in needs[1].decode().split(",") if needs else ():
            add(other.replace("-", "_"))
        order[name] = code

    for name in MODULES:
        add(name.replace("-", "_"))
    return list(order.items())


def _archive(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """A cpio archive in the form "newc" that a kernel takes for its first root."""
    parts = []
    for number, (name, data, mode) in enumerate([*files, ("TRAILER!!!", b"", 0)], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]
    return b"".join(parts)


def _found(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def _newest(folder: str, pattern: str) -> Path | None:
    return max(Path(folder).glob(pattern), default=None)


if __name__ == "__main__":
    sys.exit(main())
