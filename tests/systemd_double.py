"""A double of systemd on a bus of the test's own: what the driver asks of org.freedesktop.systemd1 is answered as systemd answers it.

It is none: it makes the scope's cgroup in the hierarchy name=systemd (or version 2) and in that of the pids controller, as systemd does where
accounting is on, puts the processes in, and says in a file what it was asked. Run: systemd_double.py LOG FAIL
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

MANAGER = "org.freedesktop.systemd1.Manager"
ROOTS = [root for root in (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/pids")) if (root / "cgroup.procs").exists()]


def path_of(slice: str) -> str:
    """a-b.slice is below a.slice."""
    out, stem = "", ""
    for part in slice.removesuffix(".slice").split("-"):
        stem = f"{stem}-{part}" if stem else part
        out += f"/{stem}.slice"
    return out


def main(log: str, fail: str) -> None:
    connection = open_dbus_connection(bus="SYSTEM")
    connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.systemd1"))
    groups: dict[str, str] = {}
    print("ready", flush=True)
    while True:
        message = connection.receive()
        if message.header.message_type != MessageType.method_call:
            continue
        member = message.header.fields[HeaderFields.member]
        with open(log, "a") as file:
            file.write(json.dumps([member, message.body]) + "\n")
        if member == "StartTransientUnit":
            unit, _, properties, _ = message.body
            if fail == "refuse":
                connection.send(new_error(message, "org.freedesktop.systemd1.UnitExists", "s", (f"Unit {unit} was already loaded",)))
                continue
            given = dict(properties)
            groups[unit] = f"{path_of(given['Slice'][1])}/{unit}"
            connection.send(new_method_return(message, "o", ("/job/7",)))
            for root in ROOTS:
                os.makedirs(f"{root}{groups[unit]}")
                for pid in given["PIDs"][1]:
                    Path(f"{root}{groups[unit]}/cgroup.procs").write_text(str(pid))
            address = DBusAddress("/org/freedesktop/systemd1", interface=MANAGER)
            for job, result in (("/job/6", "failed"), ("/job/7", "failed" if fail == "job" else "done")):
                connection.send(new_signal(address, "JobRemoved", "uoss", (7, job, unit, result)))
        elif member == "GetUnit":
            connection.send(new_method_return(message, "o", (f"/unit/{list(groups).index(message.body[0])}",)))
        elif member == "Get":
            number = int(message.header.fields[HeaderFields.path].rpartition("/")[2])
            connection.send(new_method_return(message, "v", (("s", list(groups.values())[number]),)))
        elif member == "StopUnit" and message.body[0] not in groups:
            connection.send(new_error(message, "org.freedesktop.systemd1.NoSuchUnit", "s", ("not loaded",)))
        elif member == "StopUnit":
            groups.pop(message.body[0])
            connection.send(new_method_return(message, "o", ("/job/8",)))
        else:
            connection.send(new_method_return(message))


if __name__ == "__main__":
    main(*sys.argv[1:])
