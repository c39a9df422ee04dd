"""pysc syscall-tests: the compatibility suite, natively and on the platforms asked for."""

from __future__ import annotations

import os
import sys

from runsc_cli.errors import PyscError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.context import Context
    from runsc_cli.options import Options
    from runsc_cli.suite.outcome import Outcome
    from runsc_cli.suite.platforms import Native, Runtime


def run(options: Options, args: list[str], context: Context) -> int:
    import tempfile

    from runsc_cli.suite import deviations, platforms, report, sources
    from runsc_cli.suite.run import order
    from runsc_cli.suite.run import run as run_suite

    suite = sources.Suite(options["sources"] or sources.DEFAULT)
    jobs = options["jobs"] or os.cpu_count() or 1
    suite.build(jobs)
    chosen = suite.choose(args)
    if options["list"]:
        print("\n".join(f"{family}.{case}" for family, cases in chosen.items() for case in cases))
        return 0
    if os.geteuid() != 0:
        raise PyscError("the syscall tests need root: most of them are about permissions")
    asked = options["platform"] or [context.options["platform"] or "notify"]
    for platform in asked:
        if not platforms.available(platform):
            raise PyscError(f"no platform or runtime {platform!r}: native, {', '.join(platforms.OWN)}, or a runtime's command line")
    profiles = options["profile"] or [context.options["profile"] or "standard"]
    listed = deviations.read(options["deviations"] or suite.deviations)

    for path in filter(None, (options["json"], options["html"], options["markdown"])):
        if not os.path.isdir(os.path.dirname(path) or "."):  # said now, not after all has run
            raise PyscError(f"{path}: no such directory")

    def say(line: str) -> None:
        if not options["quiet"]:
            print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="pysc-syscall-tests-", ignore_cleanup_errors=True) as directory:
        place = platforms.Place(directory)
        made: dict[str, Native | Runtime] = {}
        for platform in order(asked):
            for profile in profiles:
                one = platforms.make(platform, profile, suite, place)
                made.setdefault(one.name, one)
        outcome = run_suite(chosen, list(made.values()), listed, jobs, say)
    _write(options["json"], lambda: report.as_json(outcome))
    _write(options["html"], lambda: _page(outcome))
    _write(options["markdown"], lambda: report.markdown(outcome, "make compatibility"))
    print(report.terminal(outcome), end="")
    return 0 if outcome.as_listed() else 1


def _page(outcome: Outcome) -> str:
    from runsc_cli.suite.page import html
    from runsc_cli.verbs.help_syscalls import records

    return html(outcome, records())


def _write(path: str, text: Callable[[], str]) -> None:
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text())
