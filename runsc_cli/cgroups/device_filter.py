"""The device rules of cgroup version 2: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE, bpf(2), attached to the leaf.

It is run for each open(2) and mknod(2) of a device, kernel/bpf/cgroup.c:__cgroup_bpf_check_dev_permission(), with struct
bpf_cgroup_dev_ctx, and returns 1 to allow. It reads the rules from the last to the first, as devices.allows() does. The kernel
drops it with the cgroup. Needs CAP_BPF or CAP_SYS_ADMIN on the host.
"""

from __future__ import annotations

import os
from struct import Struct

from runsc_cli.cgroups.devices import FIELD
from runsc_cli.cgroups.hierarchy import UNIFIED
from runsc_cli.cgroups.write import Refused
from runsc_cli.errors import strerror
from sentry.devices import ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentry.devices import Rule

bpf_insn = Struct("<BBhi")  # code, registers (source << 4 | destination), jump offset, immediate

# Operations, linux/bpf_common.h and linux/bpf.h; _W: on 32 bits
LDX_W, MOV, MOV_IMM, AND_W, RSH_W, JEQ, JNE_W, JA, EXIT = 0x61, 0xBF, 0xB7, 0x54, 0x74, 0x15, 0x56, 0x05, 0x95
R0, CTX, KIND, ACCESS, MAJOR, MINOR, DENIED = range(7)
_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*

_BPF, _PROG_LOAD, _PROG_ATTACH = 321, 5, 8
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2
_LOAD_ATTR = Struct("<IIQQIIQII")  # type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, flags
_ATTACH_ATTR = Struct("<IIII")  # target_fd, attach_bpf_fd, attach_type, attach_flags


def _insn(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return bpf_insn.pack(code, source << 4 | destination, offset, immediate)


def assemble(rules: Sequence[Rule]) -> bytes:
    """An array of struct bpf_insn."""
    out = [
        _insn(LDX_W, KIND, CTX, 0),  # access << 16 | type
        _insn(MOV, ACCESS, KIND),
        _insn(AND_W, KIND, immediate=0xFFFF),
        _insn(RSH_W, ACCESS, immediate=16),
        _insn(LDX_W, MAJOR, CTX, 4),
        _insn(LDX_W, MINOR, CTX, 8),
    ]
    for rule in reversed(rules):
        out += _rule(rule)
        if rule.kind == "a":  # decides whatever is left
            break
    out += [_insn(MOV_IMM, R0, immediate=0), _insn(EXIT)]
    return b"".join(out)


def _rule(rule: Rule) -> list[bytes]:
    tests = [(KIND, _KINDS[rule.kind])] if rule.kind in _KINDS else []
    tests += [(register, number) for register, number in ((MAJOR, rule.major), (MINOR, rule.minor)) if number != ANY]
    if rule.allow:  # this access is granted; done when nothing is left to grant
        body = [
            _insn(AND_W, ACCESS, immediate=7 & ~rule.access),
            _insn(JNE_W, ACCESS, offset=2, immediate=0),
            _insn(MOV_IMM, R0, immediate=1),
            _insn(EXIT),
        ]
    else:
        body = [
            _insn(MOV, DENIED, ACCESS),
            _insn(AND_W, DENIED, immediate=rule.access),
            _insn(JEQ, DENIED, offset=2, immediate=0),
            _insn(MOV_IMM, R0, immediate=0),
            _insn(EXIT),
        ]
    rest = len(tests) + len(body)
    out = []
    for i, (register, number) in enumerate(tests):
        signed = number - (1 << 32) if number >= 1 << 31 else number
        out.append(_insn(JNE_W, register, offset=rest - i - 1, immediate=signed))
    return out + body


class DeviceFilter:
    """The step that loads the program and attaches it to the leaf."""

    __slots__ = ("rules",)

    hierarchy = UNIFIED
    field = FIELD

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules

    def execute(self, directory: str) -> None:
        program = self._load()
        try:
            cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                attr = _ATTACH_ATTR.pack(cgroup, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
                self._bpf(_PROG_ATTACH, attr, f"attach the device program to {directory}")
            finally:
                os.close(cgroup)
        finally:
            os.close(program)

    def _load(self) -> int:
        from sentry.platform._native import ffi

        code = ffi.from_buffer(assemble(self.rules))
        license = ffi.new("char[]", b"MIT")
        pointers = int(ffi.cast("uintptr_t", code)), int(ffi.cast("uintptr_t", license))
        attr = _LOAD_ATTR.pack(_TYPE_CGROUP_DEVICE, len(code) // bpf_insn.size, *pointers, 0, 0, 0, 0, 0)
        return self._bpf(_PROG_LOAD, attr, "load the device program")

    def _bpf(self, command: int, attr: bytes, what: str) -> int:
        from sentry.platform._native import ffi, lib

        buffer = ffi.from_buffer(attr)
        result = int(lib.syscall6(_BPF, command, int(ffi.cast("uintptr_t", buffer)), len(attr), 0, 0, 0))
        if result < 0:
            raise Refused(self.field, f"{what}: {strerror(OSError(-result, ''))}", -result)
        return result
