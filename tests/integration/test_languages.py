"""Workloads: CPython with many modules, threads and subprocesses; node with worker threads; a Go program with many goroutines."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import ENVIRONMENT, Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = pytest.mark.integration

PYTHON = r"""
import hashlib, importlib, pathlib, shutil, subprocess, sys, tempfile, threading

MODULES = '''
abc argparse ast asyncio base64 bdb binascii bisect bz2 calendar cmath cmd code codecs collections colorsys compileall concurrent.futures
configparser contextlib contextvars copy csv ctypes curses dataclasses datetime dbm decimal difflib dis doctest email email.mime.text
enum filecmp fileinput fnmatch fractions ftplib functools gettext glob graphlib gzip heapq hmac html html.parser http.client http.server
imaplib inspect io ipaddress itertools json json.tool keyword linecache locale logging logging.config lzma mailbox mimetypes mmap
multiprocessing netrc numbers operator optparse os pickle pickletools pkgutil platform plistlib poplib pprint profile pstats pty
queue quopri random re readline reprlib sched secrets select selectors shelve shlex signal smtplib socketserver sqlite3 ssl
statistics string struct symtable sysconfig tarfile textwrap timeit tokenize trace traceback tracemalloc types typing unittest
unittest.mock urllib.request uuid venv warnings wave weakref webbrowser wsgiref.simple_server xml.dom.minidom xml.etree.ElementTree
xmlrpc.client zipapp zipfile zipimport zlib
'''.split()
for name in MODULES:
    importlib.import_module(name)
assert len(MODULES) >= 100 and all(name in sys.modules for name in MODULES)
print(len(MODULES), "modules")

root = pathlib.Path("files")
root.mkdir()
for i in range(300):
    (root / f"{i}.txt").write_text(f"{i}\n" * i)
assert sum(path.stat().st_size for path in root.iterdir()) == sum(len(f"{i}\n") * i for i in range(300))
print(hashlib.sha256(b"".join(sorted(path.read_bytes() for path in root.glob("*.txt")))).hexdigest())
shutil.make_archive("archive", "zip", root)
shutil.rmtree(root)
with tempfile.TemporaryDirectory(dir=".") as directory:
    shutil.unpack_archive("archive.zip", directory)
    print(len(list(pathlib.Path(directory).iterdir())))
pathlib.Path("archive.zip").unlink()

for i in range(20):
    done = subprocess.run([sys.executable, "-c", f"print({i}, end=' ')"], capture_output=True, text=True, check=True)
    print(done.stdout, end="")
print(subprocess.run("cat; exit 3", shell=True, input=b"through a pipe", capture_output=True))

lock, counted = threading.Lock(), 0
def count(number):
    global counted
    for i in range(50):
        with open(f"thread-{number}", "a") as file:
            file.write(f"{i}\n")
        with lock:
            counted += 1
threads = [threading.Thread(target=count, args=(number,)) for number in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(counted, sorted(path.name for path in pathlib.Path().glob("thread-*")))

import asyncio
async def main():
    processes = [await asyncio.create_subprocess_exec("echo", str(i), stdout=asyncio.subprocess.PIPE) for i in range(10)]
    print([(await process.communicate())[0] for process in processes])
asyncio.run(main())

import multiprocessing
with multiprocessing.Pool(4) as pool:
    print(pool.map(abs, range(-50, 0)) == list(range(50, 0, -1)))
"""

NODE = """
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const fs = require('fs'), path = require('path'), child_process = require('child_process');

if (!isMainThread) {
  for (let i = 0; i <= 100; i++) fs.writeFileSync(`worker-${workerData}`, String(i));
  let sum = 0;
  for (let i = 0; i < 1e6; i++) sum += i % 7;
  parentPort.postMessage(sum + Number(fs.readFileSync(`worker-${workerData}`)));
} else {
  const run = (i) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: i });
    worker.on('message', resolve);
    worker.on('error', reject);
  });
  (async () => {
    console.log(await Promise.all([...Array(8).keys()].map(run)));
    await Promise.all([...Array(500).keys()].map((i) => fs.promises.writeFile(`async-${i}`, 'x'.repeat(i))));
    const stats = await Promise.all((await fs.promises.readdir('.')).sort().map((name) => fs.promises.stat(name)));
    console.log(stats.length, stats.filter((s) => s.isFile()).length);
    console.log(child_process.execSync('cat', { input: 'through a child' }).toString());
    const seen = new Promise((resolve) => { const watcher = fs.watch('.', (event, name) => { watcher.close(); resolve(name); }); });
    fs.writeFileSync('watched', '');
    console.log('watched:', await seen);
    const server = require('net').createServer((socket) => socket.pipe(socket)).listen('socket', () => {
      const client = require('net').connect('socket', () => client.end('through a socket'));
      client.on('data', (data) => { console.log(data.toString()); server.close(); });
    });
  })().catch((error) => { console.error(error); process.exit(1); });
}
"""

GO = r"""
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	// goroutines that never yield are preempted with SIGURG, in the middle of the others' system calls
	var spinning atomic.Bool
	spinning.Store(true)
	var spun sync.WaitGroup
	for i := 0; i < runtime.NumCPU(); i++ {
		spun.Add(1)
		go func() {
			defer spun.Done()
			for x := 1; spinning.Load(); x++ {
			}
		}()
	}

	var made atomic.Int64
	var group sync.WaitGroup
	for i := 0; i < 64; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for j := 0; j < 8; j++ {
				dir := fmt.Sprintf("dir-%d-%d", i, j)
				check(os.Mkdir(dir, 0o755))
				check(os.WriteFile(filepath.Join(dir, "a"), []byte(dir), 0o644))
				check(os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
				text, err := os.ReadFile(filepath.Join(dir, "b"))
				check(err)
				if string(text) != dir {
					panic(string(text))
				}
				check(os.Link(filepath.Join(dir, "b"), filepath.Join(dir, "c")))
				check(os.Remove(filepath.Join(dir, "b")))
				check(os.RemoveAll(dir))
				made.Add(1)
			}
		}(i)
	}
	group.Wait()
	fmt.Println(made.Load(), "directories")

	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			out, err := exec.Command("sh", "-c", "echo child; exit 3").Output()
			if err == nil || err.(*exec.ExitError).ExitCode() != 3 || string(out) != "child\n" {
				panic(err)
			}
		}()
	}
	group.Wait()
	fmt.Println("children")

	reader, writer, err := os.Pipe()
	check(err)
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			_, err := writer.Write([]byte("message\n"))
			check(err)
		}()
	}
	go func() {
		group.Wait()
		writer.Close()
	}()
	text, err := io.ReadAll(reader)
	check(err)
	fmt.Println(len(text), "bytes")

	notified := make(chan os.Signal, 1)
	signal.Notify(notified, syscall.SIGUSR1)
	check(syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	fmt.Println(<-notified)
	spinning.Store(false)
	spun.Wait()
}
"""


@requires("/usr/bin/python3")
def test_cpython(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("cpython", ["/usr/bin/python3", "script.py"], {"script.py": PYTHON})
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)


@requires("node")
def test_node_with_worker_threads(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("node", ["node", "script.js"], {"script.js": NODE})
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)


class GoBuild(Workload):
    """With what has been compiled natively: only the program itself is compiled anew."""

    def prepare(self, directory: Path) -> Path:
        super().prepare(directory)
        shutil.copytree(self.env["PREPARED"], directory / "cache", symlinks=True)
        return directory


class GoRun(Workload):
    def prepare(self, directory: Path) -> Path:
        super().prepare(directory)
        shutil.copy(self.env["PREPARED"], directory / "program")
        return directory


# the id of a build names its directory
BUILD = """
set -e
export GOCACHE=$PWD/cache HOME=$PWD GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local
"$GO" vet main.go
"$GO" build -p 2 -trimpath -ldflags=-buildid= -o program main.go
"""


@pytest.fixture(scope="module")
def go_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the program has been built natively, from nothing."""
    directory = tmp_path_factory.mktemp("go")
    (directory / "main.go").write_text(GO)
    subprocess.run(["sh", "-c", BUILD], cwd=directory, env={**ENVIRONMENT, "GO": _go()}, check=True, timeout=110)
    return directory


@requires("go")
def test_a_go_program_with_many_goroutines(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, go_build: Path) -> None:
    workload = GoRun("go", ["./program"], env={"PREPARED": str(go_build / "program")})
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)


@requires("go")
def test_go_builds(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, go_build: Path) -> None:
    files = {"main.go": GO + "// compiled anew\n"}
    script = BUILD + "cd cache && ls | wc -l; cd .. && sha256sum program"
    workload = GoBuild("go build", ["sh", "-c", script], files, {"GO": _go(), "PREPARED": str(go_build / "cache")})
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path, files=False)


def _go() -> str:
    """The real path: Debian's /usr/bin/go is a link, a release's lies outside of PATH."""
    return os.path.realpath(shutil.which("go") or "go")
