"""Checks that several sections of a config share. Each raises SpecError with the field it was given."""

from __future__ import annotations

from runsc_cli.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runsc_cli.oci.model import IDMapping

NOBODY = 0xFFFFFFFF  # (uid_t) -1, which setuid(2) and chown(2) take for "unchanged"
MAX_EXTENTS = 340  # include/linux/user_namespace.h: UID_GID_MAP_MAX_EXTENTS


def absolute(path: str, field: str) -> None:
    """A path that the specification wants absolute."""
    if not path.startswith("/"):
        raise SpecError(field, f"{path!r} is not an absolute path" if path else "is missing: give an absolute path")


def one_of(value: str, known: tuple[str, ...], field: str) -> None:
    """A value out of a closed set."""
    if value not in known:
        raise SpecError(field, f"{value!r} is unknown: it is one of {', '.join(known)}")


def cpu_list(text: str, field: str) -> None:
    """A list as in "0-3,7" (cpuset(7), "List format"); the numbers are bounded, so that nobody expands a billion."""
    for part in text.split(",") if text else ():
        low, dash, high = (word.strip(" ") for word in part.partition("-"))
        for number in (low, high) if dash else (low,):
            if not (number.isascii() and number.isdigit() and len(number) < 6):
                raise SpecError(field, f'{text!r} is no list of numbers: write it as "0-3,7"')
        if dash and int(low) > int(high):
            raise SpecError(field, f"{part!r} ends before it begins")


def id_mappings(mappings: tuple[IDMapping, ...], at: str) -> None:
    """Lines for /proc/PID/uid_map: none empty, none beyond the last id, no id twice on either side."""
    if len(mappings) > MAX_EXTENTS:
        raise SpecError(at, f"has {len(mappings)} entries, the kernel takes {MAX_EXTENTS}")
    for i, mapping in enumerate(mappings):
        if mapping.size == 0:
            raise SpecError(f"{at}[{i}].size", "is 0: map one id at least")
    for name, side in (("containerID", "container_id"), ("hostID", "host_id")):
        end, last = 0, -1
        for i, mapping in sorted(enumerate(mappings), key=lambda item: int(getattr(item[1], side))):
            start = getattr(mapping, side)
            if start + mapping.size > NOBODY:
                raise SpecError(f"{at}[{i}].size", f"{mapping.size} ids from {start} go beyond the last id {NOBODY - 1}")
            if start < end:
                raise SpecError(f"{at}[{i}].{name}", f"{start} is mapped by [{last}] too: every id at most once")
            end, last = start + mapping.size, i
