"""The container runtime interface as a kubelet speaks it: the messages that the tests use, over gRPC, and the streams beside it.

Names and numbers of the fields are those of runtime.v1 (https://github.com/kubernetes/cri-api); what the tests do not use is not here.
Streams of exec, attach and port-forward are WebSockets (RFC 6455) in the subprotocol v4.channel.k8s.io: the first byte of
a message says which channel it is of.
"""

from __future__ import annotations

import base64
import os
import struct
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import grpc_call
import protobuf
from protobuf import MAP

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

POD, CONTAINER, NODE, TARGET = range(4)
"""NamespaceMode."""

CREATED, RUNNING, EXITED = range(3)
"""ContainerState."""

READY, NOT_READY = range(2)
"""PodSandboxState."""

_POD_METADATA = {"name": (1, str), "uid": (2, str), "namespace": (3, str), "attempt": (4, int)}
_METADATA = {"name": (1, str), "attempt": (2, int)}
_INT = {"value": (1, int)}
_NAMESPACES = {"network": (1, int), "pid": (2, int), "ipc": (3, int), "target_id": (4, str)}
_PROFILE = {"profile_type": (1, int), "localhost_ref": (2, str)}
_RESOURCES = {
    "cpu_period": (1, int),
    "cpu_quota": (2, int),
    "cpu_shares": (3, int),
    "memory_limit_in_bytes": (4, int),
    "oom_score_adj": (5, int),
    "cpuset_cpus": (6, str),
}
_POD_SECURITY = {"namespace_options": (1, _NAMESPACES), "run_as_user": (3, _INT), "readonly_rootfs": (4, bool), "seccomp": (9, _PROFILE)}
_POD = {
    "metadata": (1, _POD_METADATA),
    "hostname": (2, str),
    "log_directory": (3, str),
    "dns_config": (4, {"servers": (1, [str]), "searches": (2, [str])}),
    "port_mappings": (5, [{"protocol": (1, int), "container_port": (2, int), "host_port": (3, int)}]),
    "labels": (6, MAP),
    "annotations": (7, MAP),
    "linux": (8, {"cgroup_parent": (1, str), "security_context": (2, _POD_SECURITY), "sysctls": (3, MAP)}),
}
_SECURITY = {
    "capabilities": (1, {"add_capabilities": (1, [str]), "drop_capabilities": (2, [str])}),
    "privileged": (2, bool),
    "namespace_options": (3, _NAMESPACES),
    "run_as_user": (5, _INT),
    "run_as_group": (12, _INT),
    "readonly_rootfs": (7, bool),
    "supplemental_groups": (8, [int]),
    "no_new_privs": (11, bool),
    "masked_paths": (13, [str]),
    "readonly_paths": (14, [str]),
    "seccomp": (15, _PROFILE),
}
_CONTAINER = {
    "metadata": (1, _METADATA),
    "image": (2, {"image": (1, str)}),
    "command": (3, [str]),
    "args": (4, [str]),
    "working_dir": (5, str),
    "envs": (6, [{"key": (1, str), "value": (2, str)}]),
    "mounts": (7, [{"container_path": (1, str), "host_path": (2, str), "readonly": (3, bool), "propagation": (5, int)}]),
    "log_path": (11, str),
    "stdin": (12, bool),
    "stdin_once": (13, bool),
    "tty": (14, bool),
    "linux": (15, {"resources": (1, _RESOURCES), "security_context": (2, _SECURITY)}),
}
_POD_ID, _ID, _URL, _UINT = {"pod_sandbox_id": (1, str)}, {"container_id": (1, str)}, {"url": (1, str)}, {"value": (1, int)}
_STATUS = {"id": (1, str), "state": (3, int), "exit_code": (7, int), "reason": (10, str), "message": (11, str)}
_CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Version": ({"version": (1, str)}, {"runtime_name": (2, str), "runtime_version": (3, str)}),
    "Status": ({}, {"status": (1, {"conditions": (1, [{"type": (1, str), "status": (2, bool), "message": (4, str)}])})}),
    "RunPodSandbox": ({"config": (1, _POD), "runtime_handler": (2, str)}, _POD_ID),
    "PodSandboxStatus": (
        _POD_ID,
        {"status": (1, {"id": (1, str), "state": (3, int), "network": (5, {"ip": (1, str)}), "runtime_handler": (9, str)})},
    ),
    "StopPodSandbox": (_POD_ID, {}),
    "RemovePodSandbox": (_POD_ID, {}),
    "ListPodSandbox": ({}, {"items": (1, [{"id": (1, str), "state": (3, int)}])}),
    "CreateContainer": ({**_POD_ID, "config": (2, _CONTAINER), "sandbox_config": (3, _POD)}, _ID),
    "StartContainer": (_ID, {}),
    "StopContainer": ({**_ID, "timeout": (2, int)}, {}),
    "RemoveContainer": (_ID, {}),
    "ContainerStatus": (_ID, {"status": (1, _STATUS)}),
    "UpdateContainerResources": ({**_ID, "linux": (2, _RESOURCES)}, {}),
    "ReopenContainerLog": (_ID, {}),
    "ExecSync": ({**_ID, "cmd": (2, [str]), "timeout": (3, int)}, {"stdout": (1, bytes), "stderr": (2, bytes), "exit_code": (3, int)}),
    "Exec": ({**_ID, "cmd": (2, [str]), "tty": (3, bool), "stdin": (4, bool), "stdout": (5, bool), "stderr": (6, bool)}, _URL),
    "Attach": ({**_ID, "stdin": (2, bool), "tty": (3, bool), "stdout": (4, bool), "stderr": (5, bool)}, _URL),
    "PortForward": ({**_POD_ID, "port": (2, [int])}, _URL),
    "ContainerStats": (
        _ID,
        {
            "stats": (
                1,
                {
                    "attributes": (1, {"id": (1, str)}),
                    "cpu": (2, {"timestamp": (1, int), "usage_core_nano_seconds": (2, _UINT)}),
                    "memory": (3, {"timestamp": (1, int), "working_set_bytes": (2, _UINT)}),
                },
            )
        },
    ),
}


class Runtime:
    """The runtime service on a unix socket: `runtime("StopContainer", container_id=id, timeout=1)`."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __call__(self, name: str, **request: Any) -> dict[str, Any]:
        """Raises grpc_call.CallError."""
        asked, answered = _CALLS[name]
        answer = grpc_call.call(self._address, f"/runtime.v1.RuntimeService/{name}", protobuf.encode(asked, request))
        return protobuf.decode(answered, answer)


STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
"""Channels of exec and attach."""


class Stream:
    """One end of a WebSocket. `connect`: makes the TCP connection, for instance in another network namespace."""

    _TEXT, _BINARY, _CLOSE, _PING = 1, 2, 8, 9

    def __init__(self, url: str, connect: Callable[[str, int], socket.socket]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._sock = connect(parts.hostname, parts.port)
        self._sock.settimeout(60)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: v4.channel.k8s.io", "", "",
        ]  # fmt: skip
        self._sock.sendall("\r\n".join(lines).encode())
        self._file = self._sock.makefile("rb")
        status = self._file.readline()
        assert b" 101 " in status, status
        while self._file.readline().strip():
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._sock.close()

    def send(self, channel: int, data: bytes) -> None:
        payload = bytes([channel]) + data
        mask = os.urandom(4)
        size = struct.pack(">B", 0x80 | len(payload)) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._sock.sendall(bytes([0x80 | self._BINARY]) + size + mask + masked)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(channel, data) until the other side closes."""
        while head := self._file.read(2):
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
            payload = self._file.read(size)
            if head[0] & 0xF == self._CLOSE:
                return
            if head[0] & 0xF in (self._TEXT, self._BINARY) and payload:
                yield payload[0], payload[1:]

    def read_until(self, text: bytes, channel: int = STDOUT) -> bytes:
        """What comes on a channel, up to the message that completes `text`."""
        seen = b""
        for number, data in self:
            if number == channel:
                seen += data
                if text in seen:
                    return seen
        raise AssertionError(f"no {text!r} in {seen!r}")

    def rest(self) -> dict[int, bytes]:
        """All that still comes, by channel."""
        seen: dict[int, bytes] = {}
        for channel, data in self:
            seen[channel] = seen.get(channel, b"") + data
        return seen
