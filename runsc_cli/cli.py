"""Help and usage errors: click commands built from the table of options.py.

Imported only when argv.py could not read the command line, since click costs 28 ms. The words are respelt from
Go's flag package (`-bundle B`, `--detach=false`) to what click reads; the complaints are runc's.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from runsc_cli.argv import Call
from runsc_cli.errors import UnknownVerb, UsageError
from runsc_cli.options import CHOICE, FLAG, GLOBAL, INTS, LIST, VERB, VERBS, BadValue, Option, Verb, names

_HELP_NAMES = ("help", "h")

_EXAMPLES = (
    "pysc do -- python3 -c 'print(6 * 7)'",
    "pysc spec --bundle ./bundle -- /bin/echo hello",
    "pysc run --bundle ./bundle greeter",
    "pysc --root /run/web list",
    "pysc --platform namespace run --bundle ./bundle trusted",
    "pysc --strace=%file do -- make",
    "pysc --inject openat:ENOSPC:when=3+ do -- ./program",
    "pysc --overlay dir=/var/lib/changes run --bundle ./bundle scratch",
)


def read(argv: list[str]) -> Call | int:
    """The call that `argv` makes; an exit code when help was all that was asked for.

    UsageError for what is wrong, UnknownVerb for a verb there is not."""
    try:
        answer = _root().main(argv, prog_name="pysc", standalone_mode=False)
    except click.UsageError as error:
        raise UsageError(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None
    except SystemExit:  # with which it answers EPIPE
        raise BrokenPipeError from None
    return answer if isinstance(answer, Call) else int(answer or 0)


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # not generic before click 8.2


class _Value(_ParamType):
    """A value that the table's option converts."""

    def __init__(self, option: Option) -> None:
        self.name = option.kind
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._option.convert(value)
        except BadValue as error:
            raise click.UsageError(str(error)) from None


class _Option(click.Option):
    """Every option takes a value here, flags too: `--detach=false` is Go's. Help shows flags without."""

    def __init__(self, option: Option) -> None:
        spellings = [f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
        repeated = option.kind in (LIST, INTS)
        super().__init__(
            [option.key, *spellings],
            help=option.help,
            multiple=repeated,
            default=option.initial() if repeated else option.default,
            type=_Value(option),
            metavar=option.metavar,
            show_default=bool(option.choices and option.default),
        )
        self._flag = option.kind == FLAG
        self._choice = option.kind == CHOICE

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is not None and self._choice:
            return record[0].replace(f" {self.metavar}", f"[={self.metavar}]"), record[1]
        if record is None or not self._flag or self.metavar is None:
            return record
        return record[0].replace(f" {self.metavar}", ""), record[1]


class _Verb(click.Command):
    def __init__(self, verb: Verb) -> None:
        self._verb = verb
        super().__init__(
            verb.name,
            params=[*map(_Option, verb.options), click.Argument(["args"], nargs=-1, type=click.UNPROCESSED)],
            help=_sentence(verb.help),
            epilog=_examples(verb.examples),
        )

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [piece for piece in ("[OPTIONS]" if self._verb.options else "", self._verb.arguments) if piece]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _respell(self._verb.options, args, command=self._verb.command))

    def invoke(self, ctx: click.Context) -> Call:
        args = list(ctx.params["args"])
        complaint = self._verb.miscount(len(args))
        if complaint:
            raise click.UsageError(f"{complaint}; see pysc {self._verb.name} --help")
        globals = ctx.parent.params if ctx.parent is not None else {}
        return Call(self._verb.name, _values(GLOBAL, globals), _values(self._verb.options, ctx.params), args)


class _Root(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = _respell(GLOBAL, args, command=True)
        at = words.index("--") + 1
        # An empty verb is none, as for runc.
        return super().parse_args(ctx, words[:at] if words[at : at + 1] == [""] else words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _HELP_NAMES:
            return click.Command("help", params=[_words()], callback=_help)
        if cmd_name not in VERB:
            raise UnknownVerb(cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["version"]:
            return Call("version", _values(GLOBAL, ctx.params), {}, [])
        return super().invoke(ctx)


def _root() -> _Root:
    """Without a verb help is shown, as runc does."""
    return _Root(
        "pysc",
        commands=[_Verb(verb) for verb in VERBS],
        params=[_Option(option) for option in GLOBAL],
        help="An OCI runtime that runs workloads you do not trust under an application kernel in Python.",
        epilog=_examples(_EXAMPLES),
        context_settings={"max_content_width": 100},
        options_metavar="[GLOBAL OPTIONS]",
        subcommand_metavar="VERB [OPTIONS] [ARGUMENTS]",
        invoke_without_command=True,
        callback=_help_without_verb,
    )


def _words() -> click.Argument:
    return click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)


@click.pass_context
def _help_without_verb(ctx: click.Context, /, **options: object) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.pass_context
def _help(ctx: click.Context, /, words: tuple[str, ...]) -> Call | None:
    """help, help VERB; and runsc's `help syscalls`."""
    parent = ctx.parent
    if parent is None:
        raise RuntimeError("help belongs to a group")
    if not words:
        click.echo(parent.get_help())
        return None
    if words[0] == "syscalls":
        verb = VERB["help-syscalls"]
        return Call(verb.name, _values(GLOBAL, parent.params), _values(verb.options, {}), [])
    if words[0] not in VERB:
        raise UnknownVerb(words[0])
    command = _Verb(VERB[words[0]])
    click.echo(command.get_help(click.Context(command, parent, info_name=words[0])))
    return None


def _values(table: tuple[Option, ...], params: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for option in table:
        value = params.get(option.key, option.initial())
        values[option.key] = list(value) if option.kind in (LIST, INTS) else value
    return values


def _respell(table: tuple[Option, ...], argv: list[str], *, command: bool) -> list[str]:
    """`argv` as click reads it: every option as --name=value, then `--`, then the arguments."""
    known = names(table)
    flags: list[str] = []
    args: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            args.extend(words)
        elif word == "-" or not word.startswith("-"):
            args.append(word)
            if command:
                args.extend(words)
        else:
            name, equals, value = word[2 if word.startswith("--") else 1 :].partition("=")
            if name in _HELP_NAMES:
                return ["--help", "--"]
            option = known.get(name)
            if option is not None:
                flags.append(f"--{option.name}={_checked(option, value if equals else _next(option, name, words))}")
            elif args:
                args.append(word)
            else:
                raise click.UsageError(_unknown(word, name, known))
    return [*flags, "--", *args]


def _next(option: Option, name: str, words: Any) -> str:
    if option.kind in (FLAG, CHOICE):
        return "true"
    value: str | None = next(words, None)
    if value is None:
        raise click.UsageError(f"flag needs an argument: -{name}")
    return value


def _checked(option: Option, value: str) -> str:
    """Every occurrence has to be right, as in Go; click would look at the last one alone."""
    try:
        option.convert(value)
    except BadValue as error:
        raise click.UsageError(str(error)) from None
    return value


def _unknown(word: str, name: str, known: dict[str, Option]) -> str:
    if not name or name[0] in "-=":
        return f"bad flag syntax: {word}"
    near = get_close_matches(name, [option.name for option in known.values()], n=1)
    return f"flag provided but not defined: -{name}" + (f"; did you mean --{near[0]}?" if near else "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _examples(examples: tuple[str, ...]) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
