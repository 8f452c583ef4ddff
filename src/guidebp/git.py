"""Git commands about a folder, independent of the process that started guidebp."""

import os
import subprocess
from pathlib import Path

# The user's configuration. It belongs to no repository.
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")


def run_git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in the folder, on the repository that contains the folder.

    A git hook sets GIT_DIR, GIT_INDEX_FILE and GIT_WORK_TREE, which would select another repository.

    Raises OSError when git cannot be started; a failed command returns its exit code.
    """
    environment = {
        name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith("GIT_")
    }
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def is_tracked(path: Path) -> bool:
    """Return True if git tracks the file, or files of the folder; `path` is relative to the current folder."""
    try:
        return not run_git(Path(), "ls-files", "--error-unmatch", str(path)).returncode
    except OSError:  # git is not installed
        return False
