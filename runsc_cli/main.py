"""The `pysc` command: reads the command line, runs the verb, and says in one line what went wrong.

Exit codes are runc's: those of the workload from run, exec and do, 1 for an error, 255 for a failed exec, 3 for
an unknown verb, 130 for Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import sys

from runsc_cli.argv import scan, scan_globals
from runsc_cli.context import Context
from runsc_cli.errors import PyscError, UsageError, strerror
from runsc_cli.log import Log
from runsc_cli.options import VERB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from runsc_cli.argv import Call

INTERRUPTED = 128 + 2


def entry() -> NoReturn:
    """The console entry point. Leaves without the interpreter's tidying up, which takes 2 of a command's 12 ms.

    Nor is cyclic garbage collected: a command ends before it has made any worth 2 ms, and a sentry forked from it makes none.
    """
    gc.disable()
    _forget_own_locale()
    code = main()
    if sys.stderr is not None:
        sys.stderr.flush()
    os._exit(code)


def _forget_own_locale() -> None:
    """The variable that an interpreter sets for its children when the locale is C (PEP 538): nobody has given it to us for them."""
    if "LC_CTYPE" in os.environ:
        with open("/proc/self/environ", "rb") as file:
            if b"\0LC_CTYPE=" not in b"\0" + file.read():
                del os.environ["LC_CTYPE"]


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says. Returns the exit code; never raises for what a user or an engine did."""
    argv = sys.argv[1:] if argv is None else argv
    log = Log()
    try:
        globals = scan_globals(argv)
        if globals is not None:
            log = Log(globals["log"], globals["log_format"], debug=globals["debug"])
        call: Call | int | None = scan(argv)
        if call is None:
            from runsc_cli.cli import read

            call = read(argv)
        return _flush(call if isinstance(call, int) else _run(call, log))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _abandon_stdout()
    except PyscError as error:
        if isinstance(error.__cause__, OSError):
            return _fail(log, error.message, error.code)
        log.fatal(error.message)
        return error.code
    except OSError as error:
        return _fail(log, _text(error))
    except Exception as error:
        return _fail(log, f"internal error: {type(error).__name__}: {error}; --debug shows where")


def _text(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    return where + strerror(error)


def _fail(log: Log, message: str, code: int = 1) -> int:
    """What no verb foresaw: the traceback is for those who debug pysc."""
    log.fatal(message)
    if log.debugging:
        import traceback

        traceback.print_exc()
    return code


def _run(call: Call, log: Log) -> int:
    module = __import__("runsc_cli.verbs." + call.verb.replace("-", "_"), fromlist=["run"])
    verb = VERB[call.verb]
    try:
        code: int = module.run(call.options, call.args, Context(call.globals, log))
    except UsageError:
        raise
    except PyscError as error:
        raise PyscError(verb.failure + error.message, code=verb.failure_code or error.code) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PyscError(verb.failure + _text(error), code=verb.failure_code or 1) from error
    return code


def _flush(code: int) -> int:
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _abandon_stdout() -> int:
    """The reader of our output went away, which is its right: fail without a word, python's at exit neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


if __name__ == "__main__":
    entry()
