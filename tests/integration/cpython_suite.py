"""Run modules of CPython's test suite and print what became of each test: `python3 cpython_suite.py [--ignore=TEST]`, in a sandbox or outside.

They run side by side in three strands, since most of the time of most tests is spent in waiting.
"""

import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

STRANDS = (
    ("test_signal",),
    ("test_subprocess",),
    ("test_os", "test_shutil", "test_tempfile", "test_pathlib", "test_threading"),
)


def run(modules: "tuple[str, ...]") -> None:
    for module in modules:
        command = [sys.executable, "-m", "test", *sys.argv[1:], "--tempdir=temp", f"--junit-xml={module}.xml", module]
        with open(f"{module}.out", "w") as out:
            subprocess.run(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False)


def show(module: str) -> None:
    """`test_os.FileTests.test_access ok`; the traceback of a failure on stderr."""
    for case in ET.parse(f"{module}.xml").getroot().iter("testcase"):
        failures = [child.text for child in case if child.tag in ("failure", "error")]
        name = case.get("name", "").removeprefix("test.")
        print(name, "failed" if failures else "skipped" if len(case) else "ok")
        for failure in failures:
            print(f"{name}: {failure}", file=sys.stderr)


threads = [threading.Thread(target=run, args=(modules,)) for modules in STRANDS]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for modules in STRANDS:
    for module in modules:
        show(module)
