"""The programs of the suite: where their sources are, how they are built, which cases they have."""

from __future__ import annotations

import os
import subprocess

from runsc_cli.errors import PyscError, UsageError

DEFAULT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "syscall-tests")
_BUILD_DEADLINE = 600.0


class Suite:
    """The suite in one directory. `cases` are names by family, in the order of the sources."""

    def __init__(self, directory: str) -> None:
        if not os.path.isfile(os.path.join(directory, "harness.h")):
            raise PyscError(f"no syscall tests in {directory}: run it from a checkout, or name one with --sources")
        self.directory = os.path.abspath(directory)
        self.programs = os.path.join(self.directory, "build")
        self.deviations = os.path.join(self.directory, "deviations.txt")
        self.families = sorted(name[:-2] for name in os.listdir(os.path.join(directory, "families")) if name.endswith(".c"))
        self.cases: dict[str, list[str]] = {}

    def build(self, jobs: int) -> None:
        """Compile what has changed. Raises PyscError with the compiler's words."""
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        command = ["make", "--silent", "-C", self.directory, f"-j{jobs}"]
        try:
            made = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_BUILD_DEADLINE, check=False, env=environment
            )
        except FileNotFoundError:
            raise PyscError("make is not installed, and the syscall tests are built with it (Debian: make gcc libc6-dev)") from None
        if made.returncode != 0:
            lines = made.stderr.splitlines()
            hint = " (Debian: gcc libc6-dev linux-libc-dev)" if any("not found" in line or "No such file" in line for line in lines) else ""
            raise PyscError(f"the syscall tests cannot be built{hint}: " + "; ".join(lines[:3]))
        self.cases = {family: self._list(family) for family in self.families}

    def _list(self, family: str) -> list[str]:
        program = os.path.join(self.programs, family)
        return subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()

    def choose(self, words: list[str]) -> dict[str, list[str]]:
        """The cases that `words` name, each a FAMILY or a FAMILY.CASE; without any, all. Raises UsageError."""
        if not words:
            return dict(self.cases)
        chosen: dict[str, list[str]] = {}
        for word in words:
            family, dot, case = word.partition(".")
            if family not in self.cases:
                raise UsageError(f'no family "{family}" among the syscall tests; --list shows them')
            if dot and case not in self.cases[family]:
                raise UsageError(f'no case "{case}" in the family {family}; --list shows them')
            chosen.setdefault(family, []).extend([case] if dot else self.cases[family])
        return chosen
