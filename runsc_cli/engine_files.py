"""The configuration files of engines and of systemd, and what pysc writes into them: install and uninstall.

    Docker       daemon.json, `runtimes`; everything else stays as it was read
    containerd   config.toml: a block between two marks at its end, since nobody writes TOML back as it was; what else is in there has
                 to mean the same afterwards, or nothing is written
    podman       a file of its own in containers.conf.d
    systemd      a unit of its own, for `pysc zygote`

All files are read, and all changes made in memory, before the first one is written. A file that cannot be read as what it should be is not
touched. What is replaced is kept beside it, under the next free number: daemon.json.~1~.
"""

from __future__ import annotations

import json
import os
import tomllib
from stat import S_IMODE, S_ISREG

from runsc_cli.errors import HostError, PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runsc_cli.options import Options

RUNTIMES = ("pysc", "pysc-trusted")
"""Names that engines get: those of our commands, which stand in one directory. The second one has no sandbox, and runs what asks for it."""

_BEGIN, _END = "# pysc: begin. `pysc uninstall` takes this out again.", "# pysc: end."
_MAX_SIZE = 16 << 20
_CRI = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
"""containerd's plugin for Kubernetes, by the version of its config."""


class Change:
    """One file: its text as it `was` (None: there is none) and as it will be `now` (None: it is removed); what to do then."""

    __slots__ = ("afterwards", "now", "path", "was")

    def __init__(self, path: str, was: str | None, now: str | None, afterwards: str) -> None:
        self.path = path
        self.was = was
        self.now = now
        self.afterwards = afterwards

    def diff(self) -> str:
        """What is changed, as diff -u shows it."""
        from difflib import unified_diff

        old, new = (self.was or "").splitlines(keepends=True), (self.now or "").splitlines(keepends=True)
        return "".join(unified_diff(old, new, self.path, self.path))

    def write(self) -> str:
        """Do it. Returns the path of the file that keeps what was there, empty if nothing was. Raises PyscError; then nothing is changed."""
        try:
            return self._write()
        except OSError as error:
            raise HostError("write", self.path, error) from None

    def _write(self) -> str:
        directory = os.path.dirname(self.path)
        os.makedirs(directory, 0o755, exist_ok=True)
        kept = ""
        mode = 0o644
        if self.was is not None:
            facts = os.stat(self.path)
            mode = S_IMODE(facts.st_mode)
            kept = _keep(self.path)
        if self.now is None:
            os.unlink(self.path)
            return kept
        new = f"{self.path}.pysc-{os.getpid()}"
        made = False
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            made = True
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(self.now)
                file.flush()
                if self.was is not None:
                    os.fchown(fd, facts.st_uid, facts.st_gid)
                os.fchmod(fd, mode)
                os.fsync(fd)
            os.rename(new, self.path)
        except BaseException:
            if made:
                os.unlink(new)
            if kept:
                os.unlink(kept)
            raise
        return kept


def _keep(path: str) -> str:
    """A second name for what is there now; rename(2) then replaces the first one alone."""
    for number in range(1, 1000):
        name = f"{path}.~{number}~"
        try:
            os.link(path, name)
            return name
        except FileExistsError:
            continue
    raise PyscError(f"{path}.~1~ to .~999~ are all there: remove some")


def _read(path: str) -> str | None:
    """The text of a regular file, None where there is none. Raises PyscError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError("open", path, error) from None
    try:
        facts = os.fstat(fd)
        if not S_ISREG(facts.st_mode) or facts.st_size > _MAX_SIZE:
            raise PyscError(f"{path} is no configuration file: it is left alone")
        data = b""
        while piece := os.read(fd, _MAX_SIZE):
            data += piece
        return data.decode()
    except (UnicodeDecodeError, OSError) as error:
        raise PyscError(f"{path} cannot be read, it is left alone: {error}") from None
    finally:
        os.close(fd)


# --- Docker ---


def docker(path: str, binary: str, *, install: bool) -> Change | None:
    """The change of daemon.json, None where there is nothing to do. Raises PyscError."""
    path = os.path.realpath(path)
    was = _read(path)
    config = _json(path, was) if was and was.strip() else {}
    runtimes = config.get("runtimes", {})
    if not isinstance(runtimes, dict):
        raise PyscError(f"{path}: runtimes is no object: it is left alone")
    wanted = dict(runtimes)
    for name in RUNTIMES:
        if install:
            entry = {"path": _command(binary, name)}
            there = runtimes.get(name)
            wanted[name] = {**there, **entry} if isinstance(there, dict) else entry
        elif name in wanted:
            if config.get("default-runtime") == name:
                raise PyscError(f"{path}: default-runtime is {name!r}: change that first")
            del wanted[name]
    if wanted == runtimes:
        return None
    config["runtimes"] = wanted
    if not wanted:
        del config["runtimes"]
    now = json.dumps(config, indent=4, ensure_ascii=False) + "\n"
    return Change(path, was, now, "restart Docker: systemctl restart docker")


def _json(path: str, text: str) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise ValueError("a name is given twice")
        return found

    try:
        config = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise PyscError(f"{path} is no JSON, it is left alone: {error}") from None
    if not isinstance(config, dict):
        raise PyscError(f"{path} holds no object: it is left alone")
    return config


# --- containerd ---


def containerd(path: str, binary: str, *, install: bool) -> Change | None:
    """The change of config.toml, None where there is nothing to do. Raises PyscError."""
    path = os.path.realpath(path)
    was = _read(path)
    rest = _without_block(path, was or "")
    before = _toml(path, rest)
    now = rest
    if install:
        if not before:
            rest, before = f"{rest}version = 2\n", {"version": 2}
        version = before.get("version", 1)
        if version not in _CRI:
            raise PyscError(f"{path} has version {version!r}, and 2 and 3 are known: `containerd config migrate` makes one of 2")
        block = _block(_CRI[version], binary, runc=_lacks_runc(before, _CRI[version]))
        now = f"{rest.rstrip()}\n\n{block}" if rest.strip() else block
        _check_same(path, before, now, _CRI[version])
    if now == (was or ""):
        return None
    return Change(path, was, now, "restart containerd: systemctl restart containerd")


def _lacks_runc(config: dict[str, Any], plugin: str) -> bool:
    """containerd's default runtime is runc, which it finds by itself only while no other one is configured."""
    section = config.get("plugins", {}).get(plugin, {}).get("containerd", {})
    return section.get("default_runtime_name", "runc") == "runc" and "runc" not in section.get("runtimes", {})


def _block(plugin: str, binary: str, *, runc: bool) -> str:
    lines = [_BEGIN]
    if runc:
        lines += [f'[plugins."{plugin}".containerd.runtimes.runc]', '  runtime_type = "io.containerd.runc.v2"']
    for name in RUNTIMES:
        table = f'plugins."{plugin}".containerd.runtimes.{name}'
        lines += [
            f"[{table}]",
            '  runtime_type = "io.containerd.runc.v2"',
            f"  [{table}.options]",
            f"    BinaryName = {json.dumps(_command(binary, name))}",
        ]
    return "\n".join([*lines, _END]) + "\n"


def _without_block(path: str, text: str) -> str:
    if _BEGIN not in text and _END not in text:
        return text
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end or _BEGIN in after or _END in after:
        raise PyscError(f"{path}: the marks around what pysc has written are damaged: it is left alone")
    head = before.rstrip("\n")
    return (head + "\n" if head else "") + after.lstrip("\n")


def _toml(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PyscError(f"{path} is no TOML, it is left alone: {error}") from None


def _check_same(path: str, before: dict[str, Any], text: str, plugin: str) -> None:
    """`text` has to mean what was `before` and our runtimes, nothing else. Raises PyscError."""
    try:
        after = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        taken = before.get("plugins", {}).get(plugin, {}).get("containerd", {}).get("runtimes", {})
        names = [name for name in RUNTIMES if name in taken]
        why = f"it has a runtime {names[0]!r} already, which pysc did not write: remove that first" if names else str(error)
        raise PyscError(f"{path} is left alone: {why}") from None
    runtimes = after["plugins"][plugin]["containerd"]["runtimes"]
    for name in (*RUNTIMES, *(("runc",) if _lacks_runc(before, plugin) else ())):
        del runtimes[name]
    if _pruned(after) != _pruned(before):
        raise PyscError(f"{path} is left alone: what is added at its end would mean something else there")


def _pruned(config: dict[str, Any]) -> dict[str, Any]:
    """A copy without tables that are empty, along the way to the runtimes."""
    out = {}
    for key, value in config.items():
        kept = _pruned(value) if isinstance(value, dict) else value
        if kept != {} or key not in ("plugins", "containerd", "runtimes", *_CRI.values()):
            out[key] = kept
    return out


# --- podman ---


def podman(path: str, binary: str, *, install: bool) -> Change | None:
    """The change of our file in containers.conf.d, None where there is nothing to do. Raises PyscError."""
    text = None
    if install:
        rows = [f"{name} = [{json.dumps(_command(binary, name))}]" for name in RUNTIMES]
        text = "\n".join(["[engine.runtimes]", *rows])
    return _of_our_own(path, text, "podman reads it at its next call: podman --runtime pysc run ...")


def _of_our_own(path: str, text: str | None, afterwards: str) -> Change | None:
    """The change of a file that has nothing but `text`, or is not there. Raises PyscError."""
    path = os.path.realpath(path)
    was = _read(path)
    if was is not None and not was.startswith(_BEGIN):
        raise PyscError(f"{path} is there and was not written by pysc: it is left alone")
    now = None if text is None else f"{_BEGIN}\n{text}\n{_END}\n"
    return None if now == was else Change(path, was, now, afterwards)


# --- systemd ---

_UNIT = """\
[Unit]
Description=pysc without an interpreter's start
Before=containerd.service docker.service
StartLimitIntervalSec=0

[Service]
ExecStart={} zygote
KillMode=process
LimitNOFILE=infinity
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target"""
"""What the zygote has begun goes on without it, hence KillMode. It ends when pysc is upgraded, and starts when that is done: hence no limit."""


def zygote(path: str, binary: str, *, install: bool) -> Change | None:
    """The change of the unit of a zygote, None where there is nothing to do. Raises PyscError."""
    text, afterwards = None, "end it: systemctl disable --now pysc-zygote"
    if install:
        from runsc_cli.zygote.server import path as socket

        command = _command(binary, "pysc")
        socket(command)  # would it ask one?
        text = _UNIT.format(json.dumps(command).replace("%", "%%"))
        afterwards = "start it: systemctl daemon-reload && systemctl enable --now pysc-zygote"
    return _of_our_own(path, text, afterwards)


# --- the verbs ---

ENGINES = {
    "docker": (docker, "/etc/docker/daemon.json", ("dockerd",)),
    "containerd": (containerd, "/etc/containerd/config.toml", ("containerd",)),
    "podman": (podman, "/etc/containers/containers.conf.d/pysc.conf", ("podman",)),
    "zygote": (zygote, "/etc/systemd/system/pysc-zygote.service", ()),
}
"""What changes its file, where that is, and the programs by which we know that it is there. A zygote has to be asked for."""


def change(options: Options, *, install: bool) -> int:
    """install and uninstall: of the engines that are asked for, else of those that are there. Raises PyscError."""
    from shutil import which

    asked = [name for name in ENGINES if options[name] or options[f"{name}_config"]]
    names = asked or [name for name, (_, path, programs) in ENGINES.items() if os.path.exists(path) or any(map(which, programs))]
    if not names:
        raise PyscError("no engine is there: name one, as in --docker")
    binary = _binary(options["path"]) if install else ""
    changes = []
    for name in names:
        make, path, _ = ENGINES[name]
        path = options[f"{name}_config"] or (_of_user(path) if name == "podman" else path)
        planned = make(os.path.abspath(path), binary, install=install)
        if planned is None:
            print(f"{name}: {path} has {'it' if install else 'nothing of pysc'} already")
        else:
            changes.append(planned)
    for each in changes:
        if options["dry_run"]:
            print(each.diff(), end="")
            continue
        kept = each.write()
        print(f"{'wrote' if each.now is not None else 'removed'} {each.path}" + (f", what was there is in {kept}" if kept else ""))
        print(each.afterwards)
    return 0


def _of_user(path: str) -> str:
    """Where an ordinary user's podman looks."""
    if os.geteuid() == 0:
        return path
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return home + path.removeprefix("/etc")


def _command(binary: str, name: str) -> str:
    """The command `name`, which is beside the one that install has found."""
    return os.path.join(os.path.dirname(binary), name)


def _binary(given: str) -> str:
    """The absolute path by which engines are to call pysc: the one given, that of this command, or the one beside the interpreter."""
    import sys

    for each in [given] if given else [sys.argv[0], os.path.join(os.path.dirname(sys.executable), "pysc")]:
        path = os.path.abspath(each)
        if os.path.basename(path).startswith("pysc") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise PyscError("where is the command? give its path with --path" if not given else f"{given!r} is no program called pysc")
