"""Running a command without a network, where this machine lets a user do so."""

import subprocess

# A network of its own, of which only the loop is up: a notebook and its kernel talk through it.
UP = "import fcntl, os, socket, struct, sys; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"
ALONE = ("unshare", "-rn", "python", "-c", f"{UP}; os.execvp(sys.argv[1], sys.argv[1:])")


def can_be_alone() -> bool:
    """Whether that is permitted here."""
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
