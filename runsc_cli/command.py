"""Writes the commands `pysc` and `pysc-trusted` of a virtual environment: `python -Im runsc_cli.command`, with its own interpreter.

Those that pip writes start the environment's interpreter with `site`, which looks for the environment, its .pth files and the system's
customizations before pysc's first line: 2 ms and more of every command. These start the interpreter that the environment
was made of, isolated: they know where their modules are, and nobody's PYTHONPATH or PYTHONSTARTUP is heard.

They are in lib/pysc. The commands in bin are the client of a zygote (runsc_cli/zygote/client.c), which starts them where there is none.

`make` does it, and whoever installs a wheel may.
"""

import os
import shutil
import sys
import sysconfig

COMMAND = """\
#!{python} -IS
import sys

sys.path += {path!r}
sys.argv[0] = {command!r}

from runsc_cli.main import entry

entry()
"""
_MAX_FIRST_LINE = 255  # execve(2): what is longer is cut off


def main() -> None:
    ours = os.path.dirname(os.path.abspath(__file__))
    path = [os.path.dirname(ours), sysconfig.get_path("platlib")]
    python = sys._base_executable  # type: ignore[attr-defined]
    if " " in python or len(f"#!{python} -IS") > _MAX_FIRST_LINE:
        return  # pip's command will do
    bin = sysconfig.get_path("scripts")
    lib = os.path.join(os.path.dirname(bin), "lib", "pysc")
    os.makedirs(lib, exist_ok=True)
    for name in ("pysc", "pysc-trusted"):  # which of the two it is, is seen by its name
        command = os.path.join(bin, name)
        text = COMMAND.format(python=python, path=list(dict.fromkeys(path)), command=command)
        with open(os.path.join(lib, f"{name}.new"), "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o755)
        os.replace(file.name, os.path.join(lib, name))
        if name == "pysc":
            shutil.copy(os.path.join(ours, "zygote", "client"), f"{command}.new")
            os.chmod(f"{command}.new", 0o755)
        else:  # the same file: a zygote is found by it
            os.link(os.path.join(bin, "pysc"), f"{command}.new")
        os.replace(f"{command}.new", command)


if __name__ == "__main__":
    main()
