"""The command line of pysc as one table: the global options and the verbs with theirs.

Two readers share it: argv.py takes well-formed calls without importing anything, cli.py builds click commands
for help and errors. The names are runc's and runsc's, whose callers we serve: containerd, Docker, podman.

Spelling is that of Go's flag package: one dash or two, `--name value` or `--name=value`, `--flag`, `--flag=false`.
Options before the verb are global. After it they may also follow the arguments (`kill ID --all 9`), as with runc,
unless the rest of the line is a command (exec, do, spec) or ps's options: there they end at the first argument.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, TypeAlias

    Options: TypeAlias = "dict[str, Any]"

# Kinds of option. A LIST may be repeated; INTS is a LIST of numbers; a CHOICE is a flag that may have a value (--strace, --strace=all).
FLAG: Final = "flag"
CHOICE: Final = "choice"
STRING: Final = "string"
INT: Final = "int"
LIST: Final = "list"
INTS: Final = "ints"

# Go's strconv.ParseBool
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

_INT_DIGITS = 10


class BadValue(Exception):
    """A value that the option does not take; the text is for the user."""


class Option:
    """One option. `key` is its name in Options: `log_format` for --log-format."""

    __slots__ = ("choices", "default", "help", "key", "kind", "metavar", "name", "refusal", "short")

    def __init__(
        self,
        name: str,
        kind: str,
        help: str,
        *,
        short: str = "",
        default: Any = None,
        metavar: str = "",
        choices: tuple[str, ...] = (),
        refusal: str = "",
    ) -> None:
        self.name = name
        self.key = name.replace("-", "_")
        self.kind = kind
        self.help = help
        self.short = short
        self.default = False if kind == FLAG and default is None else default
        self.metavar = metavar or ("N" if kind in (INT, INTS) else "|".join(choices) or "VALUE")
        self.choices = choices
        self.refusal = refusal

    def initial(self) -> Any:
        """The value when the option is not given."""
        return [] if self.kind in (LIST, INTS) else self.default

    def convert(self, text: str) -> Any:
        """The value (of one occurrence) that `text` denotes; BadValue."""
        if self.kind == FLAG:
            if text not in _TRUE and text not in _FALSE:
                raise BadValue(f'invalid boolean value "{text}" for -{self.name}: parse error')
            return text in _TRUE
        if self.kind in (INT, INTS):
            digits = text.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) <= _INT_DIGITS):
                raise BadValue(f'invalid value "{text}" for flag -{self.name}: parse error')
            return int(text)
        if self.choices and text not in self.choices:
            wanted = ", ".join(self.choices)
            raise BadValue(self.refusal.format(text) or f'invalid value "{text}" for flag -{self.name}: one of {wanted}')
        return text


class Verb:
    """One verb. `least` and `most` count its arguments; most None is any number.

    `command`: options end at the first argument. `failure` begins the error's text and `failure_code` is the
    exit code when the verb fails, as runc has them: engines see "exec failed: ..." and 255.
    """

    __slots__ = (
        "arguments",
        "command",
        "examples",
        "failure",
        "failure_code",
        "help",
        "least",
        "most",
        "name",
        "options",
    )

    def __init__(
        self,
        name: str,
        help: str,
        arguments: str = "",
        options: tuple[Option, ...] = (),
        *,
        least: int = 0,
        most: int | None = 0,
        command: bool = False,
        failure: str = "",
        failure_code: int = 0,
        examples: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.help = help
        self.arguments = arguments
        self.options = options
        self.least = least
        self.most = most
        self.command = command
        self.failure = failure
        self.failure_code = failure_code
        self.examples = examples

    def miscount(self, count: int) -> str:
        """runc's complaint about the number of arguments, empty when it is right."""
        if self.least == self.most != count:
            return f'pysc: "{self.name}" requires exactly {self.least} argument(s)'
        if count < self.least:
            return f'pysc: "{self.name}" requires a minimum of {self.least} argument(s)'
        if self.most is not None and count > self.most:
            return f'pysc: "{self.name}" requires a maximum of {self.most} argument(s)'
        return ""


def names(options: tuple[Option, ...]) -> dict[str, Option]:
    """Options by each of their names, short ones too, without dashes."""
    found = {option.name: option for option in options}
    found.update((option.short, option) for option in options if option.short)
    return found


GLOBAL = (
    Option("root", STRING, "where the state of containers is kept; default /run/pysc, or below "
           "$XDG_RUNTIME_DIR for a user", default="", metavar="DIR"),
    Option("log", STRING, "append the log to this file instead of stderr", default="", metavar="FILE"),
    Option("log-format", STRING, "format of the log", default="text", choices=("text", "json"),
           refusal="invalid log-format: {}"),
    Option("debug", FLAG, "log more, and show the traceback of an internal error"),
    Option("platform", STRING, "how system calls are intercepted; ptrace: for hosts without seccomp user notification, "
           "where it is the default; namespace: not at all, as with runc, for workloads that are trusted (the default of "
           "pysc-trusted)", choices=("notify", "ptrace", "namespace")),
    Option("allow-flag-override", FLAG, "let the annotation dev.pysc.platform choose namespace as well, not only notify and ptrace"),
    Option("network", STRING, "whose network stack the container has", choices=("sandbox", "host", "none")),
    Option("profile", STRING, "strict mediates also what only reads names: stat, access, readlink",
           choices=("standard", "strict")),
    Option("kernel-release", STRING, "the release that uname(2) and /proc show in the sandbox, in place of the host's: 6.1.0-pysc",
           default="", metavar="RELEASE"),
    Option("rootless", STRING, "ignore cgroup permission errors", default="auto",
           choices=("true", "false", "auto")),
    Option("overlay", STRING, "where writes to the root go: none (the rootfs), memory (they go with the container), dir=PATH (below PATH/ID, "
           "PATH being there, until it is deleted); the rootfs stays as it is, pysc diff lists what has changed", default="", metavar="MEDIUM"),
    Option("overlay2", STRING, "the same as runsc spells it: none, root:memory, root:dir=PATH", default="", metavar="MOUNT:MEDIUM"),
    Option("systemd-cgroup", FLAG, "let systemd make the cgroup; cgroupsPath is slice:prefix:name"),
    Option("ignore-cgroups", FLAG, "put the container in no cgroup of its own"),
    Option("directfs", FLAG, "the sentry has the container's files; --directfs=false: a process beside it has them, and the sentry none",
           default=True),
    Option("strace", CHOICE, "print the mediated system calls as strace does: on stderr, or in --strace-log; all: also native ones; "
           "or only these", default="", metavar="SYSCALLS"),
    Option("strace-syscalls", STRING, "runsc's name for --strace=SYSCALLS", default="", metavar="SYSCALLS"),
    Option("strace-log", STRING, "append those lines to this file; %ID% in its name is the container's id", default="", metavar="FILE"),
    Option("strace-log-size", INT, "how many bytes of a string or buffer to show", default=32),
    Option("strace-format", STRING, "form of those lines", default="text", choices=("text", "json")),
    Option("inject", LIST, "let system calls fail, in the words of strace: openat:error=ENOSPC:when=3+", metavar="SPEC"),
    Option("version", FLAG, "print the version", short="v"),
)  # fmt: skip

_BUNDLE = Option("bundle", STRING, "the directory with config.json, default the current one", short="b",
                 default="", metavar="DIR")  # fmt: skip
_CONSOLE = Option("console-socket", STRING, "unix socket that gets the terminal's master", default="",
                  metavar="PATH")  # fmt: skip
_PIDFD_SOCKET = Option("pidfd-socket", STRING, "unix socket that gets a pidfd of the process", default="",
                       metavar="PATH")  # fmt: skip
_PID_FILE = Option("pid-file", STRING, "write the pid of the process to this file", default="",
                   metavar="FILE")  # fmt: skip
_PRESERVE = Option("preserve-fds", INT, "pass N descriptors beyond 0, 1, 2 and $LISTEN_FDS", default=0)
_DETACH = Option("detach", FLAG, "return as soon as the process runs", short="d")

_CREATE = (
    _BUNDLE,
    _CONSOLE,
    _PIDFD_SOCKET,
    _PID_FILE,
    Option("no-pivot", FLAG, "change root with MS_MOVE instead of pivot_root, for a rootfs on a ramdisk"),
    Option("no-new-keyring", FLAG, "stay in the caller's session keyring"),
    _PRESERVE,
)

_CRIU = (
    Option("image-path", STRING, "directory of the dump", default="", metavar="DIR"),
    Option("work-path", STRING, "directory for logs", default="", metavar="DIR"),
    Option("tcp-established", FLAG, "with open TCP connections"),
    Option("tcp-skip-in-flight", FLAG, "without those that are being made"),
    Option("tcp-close", FLAG, "close TCP connections"),
    Option("link-remap", FLAG, "with files that have no name any more"),
    Option("ext-unix-sk", FLAG, "with unix sockets to the outside"),
    Option("shell-job", FLAG, "with a terminal of the caller's"),
    Option("lazy-pages", FLAG, "pages on demand"),
    Option("file-locks", FLAG, "with file locks"),
    Option("manage-cgroups-mode", STRING, "what is done about cgroups", default="", metavar="MODE"),
    Option("empty-ns", LIST, "leave a namespace empty", metavar="TYPE"),
    Option("auto-dedup", FLAG, "keep each page once"),
)

_ENGINES = (
    Option("docker", FLAG, "Docker's daemon.json"),
    Option("containerd", FLAG, "containerd's config.toml, for Kubernetes"),
    Option("podman", FLAG, "a file in podman's containers.conf.d"),
    Option("zygote", FLAG, "a systemd unit for `pysc zygote`, with which root's containers start faster"),
    Option("docker-config", STRING, "where that is", default="", metavar="FILE"),
    Option("containerd-config", STRING, "where that is", default="", metavar="FILE"),
    Option("podman-config", STRING, "where that is", default="", metavar="FILE"),
    Option("zygote-config", STRING, "where that is", default="", metavar="FILE"),
    Option("dry-run", FLAG, "show what would be changed, and change nothing"),
)

VERBS = (
    Verb("spec", "write a config.json to start from", "[-- COMMAND...]", (
            Option("bundle", STRING, "the directory to write to, default the current one", short="b",
                   default="", metavar="DIR"),
            Option("rootless", FLAG, "for a container that an ordinary user runs"),
        ), most=None, command=True,
        examples=("mkdir -p bundle/rootfs && cd bundle", "pysc spec -- /bin/echo hello")),
    Verb("create", "create a container, stopped before its command runs", "ID", _CREATE, least=1, most=1,
        failure="pysc create failed: ",
        examples=("pysc create --bundle ./bundle web && pysc start web",)),
    Verb("start", "run the command of a created container", "ID", least=1, most=1,
        examples=("pysc start web",)),
    Verb("run", "create and start a container, and wait for it", "ID", (
            *_CREATE,
            _DETACH,
            Option("keep", FLAG, "do not delete the container when it ends"),
            Option("no-subreaper", FLAG, "do not adopt the processes that the container leaves behind"),
        ), least=1, most=1, failure="pysc run failed: ",
        examples=("pysc run --bundle ./bundle web", "pysc run -d -b ./bundle web", "pysc --kernel-release 6.1.0-pysc run web")),
    Verb("state", "print the state of a container as JSON", "ID", least=1, most=1,
        examples=("pysc state web",)),
    Verb("kill", "send a signal, default TERM, to the container's first process", "ID [SIGNAL]", (
            Option("all", FLAG, "to all processes of the container", short="a"),
        ), least=1, most=2,
        examples=("pysc kill web", "pysc kill web HUP", "pysc kill --all web 9")),
    Verb("delete", "remove a stopped container and all that it holds", "ID", (
            Option("force", FLAG, "kill it first if it runs; no error if there is none", short="f"),
        ), least=1, most=1,
        examples=("pysc delete web", "pysc delete --force web")),
    Verb("list", "list the containers", "", (
            Option("format", STRING, "form of the list", short="f", default="table",
                   choices=("table", "json", "text"), refusal="invalid format option"),
            Option("quiet", FLAG, "ids only", short="q"),
        ),
        examples=("pysc list", "pysc list --format json")),
    Verb("ps", "list the processes of a container", "ID [PS-OPTION...]", (
            Option("format", STRING, "form of the list", short="f", default="table",
                   choices=("table", "json"), refusal="invalid format option"),
        ), least=1, most=None, command=True,
        examples=("pysc ps web", "pysc ps web -e -o pid,rss,args", "pysc ps --format json web")),
    Verb("pause", "stop all processes of a container until it is resumed", "ID", least=1, most=1,
        examples=("pysc pause web",)),
    Verb("resume", "let the processes of a paused container go on", "ID", least=1, most=1,
        examples=("pysc resume web",)),
    Verb("events", "print what a container uses, and when it is out of memory, as JSON", "ID", (
            Option("interval", STRING, "time between two reports of what it uses", default="5s", metavar="DURATION"),
            Option("stats", FLAG, "print what it uses now, and nothing more"),
        ), least=1, most=1,
        examples=("pysc events --stats web", "pysc events --interval 1s web")),
    Verb("trace", "print the mediated system calls of a running container as strace does, until it ends", "ID", (
            Option("syscalls", STRING, "only these, separated by commas", short="e", default="", metavar="SYSCALLS"),
            Option("format", STRING, "form of the lines", short="f", default="text",
                   choices=("text", "json"), refusal="invalid format option"),
            Option("output", STRING, "write them to this file instead of stdout", short="o", default="", metavar="FILE"),
            Option("string-size", INT, "how many bytes of a string or buffer to show", short="s", default=32),
        ), least=1, most=1,
        examples=("pysc trace web", "pysc trace --syscalls openat,connect --format json web", "pysc trace -o web.trace web")),
    Verb("update", "change the limits of a container", "ID", (
            Option("resources", STRING, "take them from this JSON file, - is stdin; other options are ignored", short="r",
                   default="", metavar="FILE"),
            Option("memory", STRING, "memory limit in bytes, or with a unit: 64m", default="", metavar="SIZE"),
            Option("memory-reservation", STRING, "memory that is kept under pressure", default="", metavar="SIZE"),
            Option("memory-swap", STRING, "memory and swap together, -1 is no limit", default="", metavar="SIZE"),
            Option("kernel-memory", STRING, "accepted and ignored: the kernel has no such limit", default="", metavar="SIZE"),
            Option("kernel-memory-tcp", STRING, "accepted and ignored, likewise", default="", metavar="SIZE"),
            Option("cpu-period", STRING, "period of the quota, in microseconds", default="", metavar="N"),
            Option("cpu-quota", STRING, "CPU time in a period, in microseconds", default="", metavar="N"),
            Option("cpu-burst", STRING, "unused CPU time that may be saved up, in microseconds", default="", metavar="N"),
            Option("cpu-share", STRING, "weight beside other containers", default="", metavar="N"),
            Option("cpu-rt-period", STRING, "period of real-time tasks, in microseconds", default="", metavar="N"),
            Option("cpu-rt-runtime", STRING, "CPU time of real-time tasks in a period", default="", metavar="N"),
            Option("cpu-idle", STRING, "1: run when nobody else does", default="", metavar="N"),
            Option("cpuset-cpus", STRING, "CPUs to use: 0-1,4", default="", metavar="LIST"),
            Option("cpuset-mems", STRING, "memory nodes to use", default="", metavar="LIST"),
            Option("pids-limit", STRING, "how many processes there may be, -1 is no limit", default="", metavar="N"),
            Option("blkio-weight", STRING, "weight of block I/O, 10 to 1000", default="", metavar="N"),
            Option("l3-cache-schema", STRING, "not supported: Intel RDT", default="", metavar="SCHEMA"),
            Option("mem-bw-schema", STRING, "not supported: Intel RDT", default="", metavar="SCHEMA"),
        ), least=1, most=1,
        examples=("pysc update --memory 256m --pids-limit 100 web", "pysc update --resources limits.json web")),
    Verb("checkpoint", "refused: CRIU cannot dump what the sentry holds", "ID", (
            *_CRIU,
            Option("leave-running", FLAG, "let the container go on"),
            Option("pre-dump", FLAG, "dump memory alone"),
            Option("parent-path", STRING, "directory of an earlier dump", default="", metavar="DIR"),
            Option("page-server", STRING, "where pages are sent to", default="", metavar="ADDRESS:PORT"),
            Option("status-fd", STRING, "descriptor that is told when lazy pages are ready", default="", metavar="FD"),
        ), least=1, most=1, examples=("pysc checkpoint web",)),
    Verb("restore", "refused, as checkpoint is", "ID", (
            *_CREATE,
            *_CRIU,
            _DETACH,
            Option("no-subreaper", FLAG, "do not adopt the processes that the container leaves behind"),
            Option("lsm-profile", STRING, "security label", default="", metavar="TYPE:NAME"),
            Option("lsm-mount-context", STRING, "security label of mounts", default="", metavar="CONTEXT"),
        ), least=1, most=1, examples=("pysc restore web",)),
    Verb("exec", "run a command in a container", "ID COMMAND...", (
            _CONSOLE,
            _PIDFD_SOCKET,
            Option("cwd", STRING, "working directory of the command", default="", metavar="DIR"),
            Option("env", LIST, "set an environment variable", short="e", metavar="NAME=VALUE"),
            Option("tty", FLAG, "give it a terminal of its own", short="t"),
            Option("user", STRING, "identity of the command", short="u", default="", metavar="UID[:GID]"),
            Option("additional-gids", INTS, "supplementary groups", short="g"),
            Option("process", STRING, "take all from a process.json", short="p", default="", metavar="FILE"),
            _DETACH,
            _PID_FILE,
            Option("process-label", STRING, "SELinux label of the command", default="", metavar="LABEL"),
            Option("apparmor", STRING, "AppArmor profile of the command", default="", metavar="PROFILE"),
            Option("no-new-privs", FLAG, "set no_new_privs, prctl(2)"),
            Option("cap", LIST, "add a capability", short="c", metavar="CAP_NAME"),
            _PRESERVE,
            Option("cgroup", LIST, "run it in a cgroup below the container's",
                   metavar="[CONTROLLER:]CGROUP"),
            Option("ignore-paused", FLAG, "also when the container is paused"),
        ), least=1, most=None, command=True, failure="exec failed: ", failure_code=255,
        examples=("pysc exec web ls -l /", "pysc exec -t -e TERM=xterm web sh",
                  "pysc exec --process process.json --detach web")),
    Verb("wait", "wait for a container's end and print its exit status as JSON", "ID", (
            Option("pid", INT, "wait for the process with this pid in the container"),
            Option("rootpid", INT, "wait for the process with this pid on the host"),
        ), least=1, most=1,
        examples=("pysc wait web",)),
    Verb("do", "run a command over a read-only view of this system, without an image", "COMMAND...", (
            Option("read", LIST, "show this path too, read-only", metavar="PATH"),
            Option("write", LIST, "let it change this path for real", metavar="PATH"),
            Option("bind", LIST, "show SRC at DST, writable", metavar="SRC:DST"),
            Option("tmpfs", LIST, "put an empty tmpfs there", metavar="PATH"),
            Option("env", LIST, "set an environment variable; NAME alone: to what it is here", short="e", metavar="NAME=VALUE"),
            Option("cwd", STRING, "working directory, default the current one", default="", metavar="DIR"),
            Option("keep", FLAG, "keep what it writes in the current directory; without it an overlay is thrown away"),
            Option("host-root", FLAG, "show all of the host, under an overlay that is thrown away"),
            Option("quiet", FLAG, "do not say at the end what was denied", short="q"),
        ), least=1, most=None, command=True,
        examples=("pysc do -- python3 -c 'print(6 * 7)'", "pysc do --write ./out --read /srv/data make",
                  "pysc --network host do curl https://example.org")),
    Verb("diff", "list what a container has changed in its root, under --overlay: A for added, C for changed, D for deleted", "ID", (
            Option("format", STRING, "form of the list", short="f", default="table",
                   choices=("table", "json"), refusal="invalid format option"),
        ), least=1, most=1,
        examples=("pysc --overlay memory run -d -b ./bundle web && pysc diff web", "pysc diff --format json web")),
    Verb("features", "print what pysc supports, as the OCI features JSON", examples=("pysc features",)),
    Verb("install", "write pysc into the configuration of engines, of all that are there if none is named, and keep what was there", "", (
            *_ENGINES,
            Option("path", STRING, "how engines are to call pysc, default this command", default="", metavar="FILE"),
        ),
        examples=("pysc install --docker", "pysc install --containerd --dry-run", "pysc install --zygote")),
    Verb("uninstall", "take it out of the configuration of engines, those that are named or all that are there", "", _ENGINES,
        examples=("pysc uninstall --docker",)),
    Verb("doctor", "look at this host: what pysc will do here, and what is missing", "", (
            Option("format", STRING, "form of the answer", short="f", default="table",
                   choices=("table", "json"), refusal="invalid format option"),
        ),
        examples=("pysc doctor", "pysc doctor --format json")),
    Verb("help-syscalls", "print how each system call is treated", "", (
            Option("format", STRING, "form of the list", short="f", default="table",
                   choices=("table", "json", "csv"), refusal="invalid format option"),
        ),
        examples=("pysc help-syscalls", "pysc help-syscalls --format csv")),
    Verb("syscall-tests", "run the system call compatibility suite, natively and in containers", "[FAMILY[.CASE]...]", (
            Option("platform", LIST, "native, a platform of ours with its options, or the command line of a runtime like runc; may be repeated",
                   short="p", metavar="PLATFORM"),
            Option("profile", LIST, "standard or strict; may be repeated", metavar="PROFILE", choices=("standard", "strict")),
            Option("json", STRING, "write the results to this file", default="", metavar="FILE"),
            Option("html", STRING, "write the report, one page, to this file", default="", metavar="FILE"),
            Option("markdown", STRING, "write the table to this file", default="", metavar="FILE"),
            Option("list", FLAG, "print the names of the cases", short="l"),
            Option("jobs", INT, "families at a time, default one for each CPU", short="j", default=0),
            Option("deviations", STRING, "what may fail, default that of the suite", default="", metavar="FILE"),
            Option("sources", STRING, "the directory of the suite, default that of the checkout", default="", metavar="DIR"),
            Option("quiet", FLAG, "print the report alone", short="q"),
        ), most=None,
        examples=("pysc syscall-tests open rename.exchange", "pysc syscall-tests --platform runc --platform notify",
                  "pysc syscall-tests --profile strict --json out.json")),
    Verb("zygote", "do the work of root's commands without an interpreter's start, until ended: a process that has all loaded, and forks",
        examples=("pysc zygote &", "pysc --debug zygote    # says which commands had to do without it, and why")),
    Verb("version", "print the version", examples=("pysc version",)),
)  # fmt: skip

VERB = {verb.name: verb for verb in VERBS}
