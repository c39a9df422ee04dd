"""Writes the commands `pysc` and `pysc-trusted` of a virtual environment: `python scripts/command.py`, with its own interpreter.

Those that pip writes start the environment's interpreter with `site`, which looks for the environment, its .pth files and the system's
customizations before pysc's first line: 2 ms and more of every command. These start the interpreter that the environment
was made of, isolated: they know where their modules are, and nobody's PYTHONPATH or PYTHONSTARTUP is heard.
"""

import os
import sys
import sysconfig

COMMAND = """\
#!{python} -IS
import sys

sys.path += {path!r}

from runsc_cli.main import entry

entry()
"""
_MAX_FIRST_LINE = 255  # execve(2): what is longer is cut off


def main() -> None:
    packages = sysconfig.get_path("platlib")
    path = [each for each in sys.path if os.path.exists(os.path.join(each, "runsc_cli", "main.py"))][:1] or [packages]
    text = COMMAND.format(python=sys._base_executable, path=list(dict.fromkeys([*path, packages])))  # type: ignore[attr-defined]
    if len(text.partition("\n")[0]) > _MAX_FIRST_LINE or " " in sys._base_executable:  # type: ignore[attr-defined]
        return  # pip's command will do
    for name in ("pysc", "pysc-trusted"):  # which of the two it is, is seen by its name
        command = os.path.join(sysconfig.get_path("scripts"), name)
        with open(f"{command}.new", "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o755)
        os.replace(f"{command}.new", command)


if __name__ == "__main__":
    main()
