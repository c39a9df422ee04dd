"""config.json as anybody may have left it: every answer is a config or one line that says what is wrong, and nothing hangs."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from configs import DEFAULT, FULL, REMOVED, changed
from hypothesis import given, settings
from hypothesis import strategies as st

from runsc_cli.config_file import MAX_SIZE, read
from runsc_cli.errors import HostError, PyscError, SpecError
from runsc_cli.oci.model import Process
from runsc_cli.spec import decode, load, load_process, parse

if TYPE_CHECKING:
    from pathlib import Path

RAW = json.dumps(DEFAULT).encode()


def test_a_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(RAW)
    loaded = load(str(tmp_path))
    assert loaded.warnings == []
    assert loaded.spec.process.args == ("/bin/true",)
    assert loaded.spec.root.path == "rootfs"
    assert [n.type for n in loaded.spec.linux.namespaces][:5] == ["pid", "network", "ipc", "uts", "mount"]


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("process.args", "sh", "process.args: expected array, got str"),
        ("process.args[0]", 1, "process.args[0]: expected str, got int"),
        ("process.user.uid", -1, "process.user.uid: expected int >= 0"),
        ("process.user.uid", 1 << 32, "process.user.uid: expected int <= 4294967295"),
        ("process.rlimits[0].hard", 1 << 64, "process.rlimits[0].hard: expected int <= 18446744073709551615"),
        ("process.rlimits[0].hard", -1, "process.rlimits[0].hard: expected int >= 0"),
        ("process.terminal", 1, "process.terminal: expected bool, got int"),
        ("process", [], "process: expected object, got array"),
        ("mounts", {}, "mounts: expected array, got object"),
        ("mounts[3].options[1]", {}, "mounts[3].options[1]: expected str, got object"),
        ("linux.sysctl", {"net.x": 1}, "linux.sysctl['net.x']: expected str, got int"),
        ("linux.resources.memory", {"limit": 1.5}, "linux.resources.memory.limit: expected int, got float"),
        ("linux.namespaces[0]", {}, "linux.namespaces[0].type: is missing: the specification requires it"),
        ("process", REMOVED, "process: is missing: the specification requires it"),
        ("ociVersion", REMOVED, "ociVersion: is missing: the specification requires it"),
        ("root", REMOVED, "root: is missing: the specification requires it"),
        ("process.cwd", "/\0", "process.cwd: '/\\x00' contains a NUL character"),
        ("mounts[0].options", ["a\0"], "mounts[0].options[0]: 'a\\x00' contains a NUL character"),
        ("linux.sysctl", {"net.\0": "1"}, "linux.sysctl: 'net.\\x00' contains a NUL character"),
    ],
)
def test_wrong_types_are_named(path: str, value: Any, error: str) -> None:
    raw = changed(DEFAULT, path, value)
    with pytest.raises(SpecError) as caught:
        parse(raw)
    assert caught.value.message == error
    assert caught.value.code == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        RAW[:-1],
        RAW[: len(RAW) // 2],
        RAW + b"}",
        b"\xef\xbb\xbf" + RAW,
        b"null",
        b"[]",
        b'"config"',
        b"NaN",
        RAW.replace(b"/bin/true", b"\xff\xfe"),
        RAW.replace(b"/bin/true", b"\\ud800"),
        RAW.replace(b"/bin/true", b"a\x00b"),
        RAW.decode().encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"process":' + b"[" * 100_000,
        b'{"process":null,"x":' + b"[" * 100_000,
        RAW[:-1] + b',"windows":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        RAW[:-1] + b',"hooks":null,"windows":' + b"[" * 900 + b"]" * 900 + b',"process":1}',
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_what_is_no_config(raw: bytes) -> None:
    with pytest.raises(SpecError) as caught:
        parse(raw)
    assert caught.value.message
    assert "\n" not in caught.value.message


def test_the_largest_numbers() -> None:
    limit = {"type": "RLIMIT_CORE", "hard": (1 << 64) - 1, "soft": (1 << 64) - 1}
    assert parse(changed(DEFAULT, "process.rlimits", [limit])).spec.process.rlimits[0].hard == (1 << 64) - 1
    annotated = parse(changed(DEFAULT, "annotations", {"serial": "9" * 50})).spec
    assert annotated.annotations["serial"] == "9" * 50


def test_null_is_absence_as_in_go() -> None:
    config = copy.deepcopy(DEFAULT)
    config["mounts"][0]["options"] = None
    config["hooks"] = None
    config["linux"]["resources"] = {"memory": {"limit": None}, "unified": {"memory.high": None}}
    config["process"]["user"]["additionalGids"] = None
    loaded = parse(json.dumps(config).encode())
    assert loaded.spec.mounts[0].options == ()
    assert loaded.spec.linux.resources is not None
    assert loaded.spec.linux.resources.unified == {}
    with pytest.raises(SpecError, match=r"^process: is missing"):
        parse(changed(DEFAULT, "process", None))
    with pytest.raises(SpecError, match=r"^process\.args\[1\]: expected str, got null"):
        parse(changed(DEFAULT, "process.args", ["sh", None]))


# --- files ---


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(PyscError, match="config.json is not a regular file"):
        load(str(tmp_path))


def test_a_fifo_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(PyscError, match="is not a regular file"):
        load(str(tmp_path))


def test_a_device() -> None:
    with pytest.raises(PyscError, match="/dev/zero is not a regular file"):
        read("/dev/zero")


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("config.json")
    with pytest.raises(HostError, match="config.json: too many levels of symbolic links"):
        load(str(tmp_path))


def test_a_link_to_a_config(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(RAW)
    (tmp_path / "config.json").symlink_to("real")
    assert load(str(tmp_path)).spec.hostname == "pysc"


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(PyscError, match="config.json: no such file or directory; `pysc spec` writes one"):
        load(str(tmp_path))
    with pytest.raises(HostError, match="not a directory"):
        load("/dev/null")


def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(RAW)
    (tmp_path / "config.json").chmod(0)
    # the directory is opened before the change of user: its parents may be closed to others
    program = (
        "import os, sys; from runsc_cli.config_file import read; from runsc_cli.errors import PyscError\n"
        "os.chdir(sys.argv[1])\n"
        "os.setresuid(65534, 65534, 65534) if os.geteuid() == 0 else None\n"
        "try: read('config.json')\n"
        "except PyscError as e: print(e.message)\n"
    )
    tmp_path.chmod(0o755)
    answer = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout == "open config.json: permission denied\n"


def test_huge(tmp_path: Path) -> None:
    """A file of holes costs nothing to make and must cost little to refuse."""
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PyscError, match="config.json is larger than 16 MiB"):
        load(str(tmp_path))
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(MAX_SIZE)
    assert len(read(str(tmp_path / "config.json"))) == MAX_SIZE


def test_a_large_one_that_is_fine(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(changed(DEFAULT, "process.env[2]", "A=" + "x" * 5_000_000))
    assert len(load(str(tmp_path)).spec.process.env[2]) == 5_000_002


# --- exec --process ---

PROCESS = b'{"args": ["sh"], "cwd": "/"}'


def test_a_process(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(PROCESS)
    assert load_process(str(tmp_path / "p")) == Process(args=("sh",), cwd="/")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'{"args": 1, "cwd": "/"}', "process.args: expected array, got int"),
        (b'{"args": ["sh"]}', "process.cwd: is missing: give an absolute path"),
        (b'{"cwd": "/"}', "process.args: is empty: name the program to run"),
        (b'{"args": ["sh"], "cwd": "/", "selinuxLabel": "x"}', "process.selinuxLabel: SELinux"),
        (b"[]", "process: expected object, got array"),
        (b"", "process: no JSON: expecting a value at character 0"),
    ],
)
def test_a_process_that_is_none(tmp_path: Path, raw: bytes, error: str) -> None:
    (tmp_path / "p").write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        load_process(str(tmp_path / "p"))
    assert caught.value.message.startswith(error)


def test_a_process_through_a_pipe() -> None:
    """As in `pysc exec --process <(generate) ID`: what is not there yet is waited for."""
    reader, writer = os.pipe()

    def write() -> None:
        os.write(writer, PROCESS[:9])
        os.write(writer, PROCESS[9:])
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert load_process(f"/proc/self/fd/{reader}").args == ("sh",)
    finally:
        thread.join()
        os.close(reader)


def test_a_pipe_is_bounded() -> None:
    reader, writer = os.pipe()

    def write() -> None:
        chunk = b" " * 65536
        try:
            while True:
                os.write(writer, chunk)
        except BrokenPipeError:
            os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with pytest.raises(PyscError, match="larger than 16 MiB"):
            load_process(f"/proc/self/fd/{reader}")
    finally:
        os.close(reader)
        thread.join()


# --- hostile ---

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "/", "..", "\0", "bind", "1.0.2-dev", "SCMP_ACT_ERRNO", "CAP_KILL", "user", "p"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            found += places(item, (*path, i))
    return found


PLACES = places(FULL)[1:]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values | st.just(REMOVED)), min_size=1, max_size=3))
def test_any_value_in_any_place(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    config = copy.deepcopy(FULL)
    for path, value in changes:
        place: Any = config
        try:
            for step in path[:-1]:
                place = place[step]
            if value is REMOVED:
                del place[path[-1]]
            else:
                place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken the place away
    _answers(json.dumps(config).encode())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_byte_in_any_place(data: st.DataObject) -> None:
    raw = bytearray(RAW)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _answers(bytes(raw))


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_any_json(value: Any) -> None:
    _answers(json.dumps(value).encode())


@given(st.binary(max_size=40))
def test_any_bytes(raw: bytes) -> None:
    _answers(raw)


def _answers(raw: bytes) -> None:
    try:
        parse(raw)
    except SpecError as error:
        assert error.message
        assert error.message.isprintable(), error.message
    try:
        decode(raw, Process, "process")
    except SpecError as error:
        assert error.message.startswith("process")


# --- start-up ---

IMPORTS = """
import sys, os
import fcntl, errno, _json
before = set(sys.modules)
import runsc_cli.spec
print(*sorted(set(sys.modules) - before))
"""


def test_it_imports_little() -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert {name.partition(".")[0] for name in loaded} <= {"runsc_cli", "sentry", "__future__"}
    assert "runsc_cli.oci.default" not in loaded
