"""Keep a project's files in order: `doctor.diagnose`, `gc.collect_garbage` and `restore.restore`."""
