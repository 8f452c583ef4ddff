"""Git for tests: without the caller's repository, and without the user's or the machine's configuration.

A git hook sets GIT_DIR, GIT_INDEX_FILE and GIT_WORK_TREE. Tests started from a hook would commit there.
"""

import os
import subprocess
from pathlib import Path

NAME, EMAIL = "Nobody", "nobody@example.org"
ISOLATION = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    # git reads ~/.config/git/ignore and attributes even without a global configuration
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.excludesFile",
    "GIT_CONFIG_VALUE_0": os.devnull,
    "GIT_CONFIG_KEY_1": "core.attributesFile",
    "GIT_CONFIG_VALUE_1": os.devnull,
    "GIT_AUTHOR_NAME": NAME,
    "GIT_AUTHOR_EMAIL": EMAIL,
    "GIT_COMMITTER_NAME": NAME,
    "GIT_COMMITTER_EMAIL": EMAIL,
}


def clean_environment() -> dict[str, str]:
    """The variables of this process, with `ISOLATION` in place of all GIT_* variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | ISOLATION


def isolate_process() -> None:
    """Give this process, and all that it starts, the clean environment."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    os.environ.update(ISOLATION)


def git(folder: Path, *arguments: str) -> str:
    """Run git in the folder with the clean environment and return its stripped standard output.

    Raises AssertionError with git's message when git fails.
    """
    command = ["git", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()
