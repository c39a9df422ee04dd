"""Reads a well-formed command line, and nothing else: the fast way into every verb.

What is irregular in any way (an unknown option, a value that is missing or bad, --help, the wrong number of
arguments) gives None, and cli.py says what is wrong. Both understand the table of options.py alike.
"""

from __future__ import annotations

from runsc_cli.options import CHOICE, FLAG, GLOBAL, INTS, LIST, VERB, BadValue, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.options import Option, Options


class Call:
    """A command line that has been understood: Options have a value, perhaps the default, for each option."""

    __slots__ = ("args", "globals", "options", "verb")

    def __init__(self, verb: str, globals: Options, options: Options, args: list[str]) -> None:
        self.verb = verb
        self.globals = globals
        self.options = options
        self.args = args

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Call({self.verb!r}, {self.globals!r}, {self.options!r}, {self.args!r})"


def scan(argv: list[str]) -> Call | None:
    """The call that `argv`, without the program's name, makes; None when cli.py must look at it."""
    try:
        globals, rest = _read(GLOBAL, argv, command=True)
        if globals["version"]:
            return Call("version", globals, {}, [])
        if not rest or rest[0] not in VERB:
            return None
        verb = VERB[rest[0]]
        options, args = _read(verb.options, rest[1:], command=verb.command)
    except (_Irregular, BadValue):
        return None
    return None if verb.miscount(len(args)) else Call(verb.name, globals, options, args)


def scan_globals(argv: list[str]) -> Options | None:
    """The global options alone, so that what is wrong behind the verb can be told to the right log."""
    try:
        return _read(GLOBAL, argv, command=True)[0]
    except (_Irregular, BadValue):
        return None


class _Irregular(Exception):
    pass


def _read(table: tuple[Option, ...], argv: list[str], *, command: bool) -> tuple[Options, list[str]]:
    """Options and arguments. `command`: the first argument ends the options; else they may follow it too."""
    options: Options = {option.key: option.initial() for option in table}
    known = names(table)
    args: list[str] = []
    at = 0
    while at < len(argv):
        word = argv[at]
        at += 1
        if word == "--":
            return options, args + argv[at:]
        if len(word) < 2 or word[0] != "-":
            if command:
                return options, argv[at - 1 :]
            args.append(word)
            continue
        name, equals, value = (word[2:] if word[1] == "-" else word[1:]).partition("=")
        option = known.get(name)
        if option is None:
            if args and name not in ("help", "h"):
                # After an argument runc takes what it does not know as one too: kill ID -9.
                args.append(word)
                continue
            raise _Irregular
        if not equals:
            if option.kind in (FLAG, CHOICE):
                value = "true"
            elif at == len(argv):
                raise _Irregular
            else:
                value = argv[at]
                at += 1
        if option.kind in (LIST, INTS):
            options[option.key].append(option.convert(value))
        else:
            options[option.key] = option.convert(value)
    return options, args
