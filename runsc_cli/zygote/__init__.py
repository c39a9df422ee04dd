"""A process that has every module loaded and forks workers, which do commands: docs/design.md, "The zygote"."""
