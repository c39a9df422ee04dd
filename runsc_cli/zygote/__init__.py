"""A process that has every module loaded and forks for each command: docs/design.md, "The zygote"."""
