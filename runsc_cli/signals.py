"""Signal names, signal(7), as kill takes them: a number, KILL or SIGKILL, in any case."""

from __future__ import annotations

from runsc_cli.errors import UnknownSignal

# x86_64, include/uapi/asm-generic/signal.h: 1 to 31
_ORDER = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ "
    "VTALRM PROF WINCH IO PWR SYS"
)
_NAMES = {name: number for number, name in enumerate(_ORDER.split(), start=1)} | {"IOT": 6, "CLD": 17, "POLL": 29}

# The kernel's range less the two (three with an old libc) that libc keeps for itself: signal(7).
SIGRTMIN, SIGRTMAX = 34, 64


def parse(text: str) -> int:
    """The number of a signal; UnknownSignal when there is none. 0, which only probes, is one."""
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) < 4 else SIGRTMAX + 1
        if number > SIGRTMAX:
            raise UnknownSignal(text)
        return number
    name = text.upper().removeprefix("SIG")
    found = _NAMES.get(name)
    if found is None:
        found = _realtime(name)
    if found is None:
        raise UnknownSignal(text)
    return found


def _realtime(name: str) -> int | None:
    """RTMIN, RTMIN+N, RTMAX, RTMAX-N."""
    for base, sign, start in (("RTMIN", "+", SIGRTMIN), ("RTMAX", "-", SIGRTMAX)):
        if not name.startswith(base):
            continue
        rest = name[len(base) :]
        digits = rest[1:]
        if not rest:
            return start
        if rest[0] == sign and digits.isascii() and digits.isdigit() and len(digits) < 3:
            number = start + int(sign + digits)
            return number if SIGRTMIN <= number <= SIGRTMAX else None
    return None
