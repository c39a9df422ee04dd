"""Run modules of CPython's test suite, two at a time, and print what became of each test: `python3 cpython_modules.py SECONDS MODULE...`.

Each module has a process group, a directory and SECONDS of its own, so one that hangs or breaks costs itself alone.
"""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor


def run(module: str, seconds: float) -> "tuple[str, float]":
    """How the module ended, and after how many seconds."""
    os.mkdir(module)
    command = [sys.executable, "-m", "test", "--tempdir=.", "--junit-xml=results.xml", module]
    begun = time.monotonic()
    with open(f"{module}/out", "w") as out:
        process = subprocess.Popen(
            command, cwd=module, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "HOME": os.getcwd()}
        )
        try:
            # 4: no test was run, all of the module is skipped
            end = {0: "ok", 4: "skipped"}.get(process.wait(seconds), "failed")
        except subprocess.TimeoutExpired:
            end = "timeout"
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    return end, time.monotonic() - begun


def show(module: str, end: str, seconds: float) -> None:
    """`test_os ok 12.3`, then `test_os.FileTests.test_access ok`; on stderr the output of a module that has failed."""
    print(module, end, f"{seconds:.1f}")
    try:
        cases = list(ET.parse(f"{module}/results.xml").getroot().iter("testcase"))
    except (FileNotFoundError, ET.ParseError):
        cases = []
    for case in cases:
        failed = any(child.tag in ("failure", "error") for child in case)
        name = " ".join(case.get("name", "").removeprefix("test.").split()).replace(" ", "_")
        print("", name, "failed" if failed else "skipped" if len(case) else "ok")
    if end in ("failed", "timeout"):
        with open(f"{module}/out", errors="replace") as out:
            print(f"--- {module}", out.read()[-20000:], sep="\n", file=sys.stderr, flush=True)
    sys.stdout.flush()


with ThreadPoolExecutor(2) as pool:
    modules = sys.argv[2:]
    for ended in pool.map(lambda module: (module, *run(module, float(sys.argv[1]))), modules):
        show(*ended)
