"""Workload: programs of a person at a terminal: vim, nano, tmux with panes, ssh-keygen and its agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

PYTHON = "/usr/bin/python3"

pytestmark = [pytest.mark.integration]

SCREEN = r"""
import os, pty, select, signal, struct, fcntl, termios, sys, time

class Screen:
    # a program on a pseudoterminal of 80 by 24
    def __init__(self, *argv):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], argv)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    def until(self, text, seconds=20):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0]:
                sys.exit(f"not seen: {text!r}, but {self.seen[-2000:]!r}")
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                sys.exit(f"ended before {text!r}: {self.seen[-2000:]!r}")
        self.seen = self.seen.partition(text)[2]
    def type(self, text):
        while text:
            text = text[os.write(self.fd, text):]
    def end(self):
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
"""

EDITORS = SCREEN + r"""
v = Screen("vim", "-u", "NONE", "-i", "NONE", "-N", "text")
v.until(b"three")
v.type(b"ggO" + b"first" + b"\x1b")
v.type(b":2,3!tr a-z A-Z\r")
v.until(b"TWO")
v.type(b":r !echo from a shell: $((6*7))\r")
v.until(b"42")
v.type(b":w copy\r:wq\r")
print("vim", v.end())
print(open("text").read(), open("copy").read() == open("text").read())
n = Screen("nano", "--ignorercfiles", "text")
n.until(b"GNU nano")
n.type(b"added ")
n.until(b"Modified")
n.type(b"\x0f"); n.until(b"Write"); n.type(b"\r"); n.until(b"Wrote")
n.type(b"\x18")
print("nano", n.end())
print(open("text").read())
"""

TMUX = r"""
set -eu
t() { tmux -L suite -f /dev/null "$@"; }
trap 't kill-server 2> /dev/null || true' EXIT
t new-session -d -s s -x 80 -y 24 'sh'
t split-window -h -t s 'cat; tmux -L suite wait-for -S ended'
t split-window -v -t s 'sh -c "tty | tr -d 0-9 > third; echo started; tmux -L suite wait-for -S third; exec sleep 100"'
t wait-for third
t list-panes -t s -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_dead}'
t send-keys -t s.0 'echo $((6 * 7)) > first; stty size >> first; tmux -L suite wait-for -S done' Enter
t wait-for done
cat first third
t resize-pane -t s.0 -x 30
until [ "$(t display-message -p -t s.0 '#{pane_width}')" = 30 ]; do :; done
t send-keys -t s.0 'until [ "$(stty size)" = "24 30" ]; do :; done; stty size > resized; tmux -L suite wait-for -S done' Enter
t wait-for done
cat resized
t send-keys -t s.1 'echo this' Enter C-d
t wait-for ended
t send-keys -t s.0 'sleep 1000' Enter
until [ "$(t display-message -p -t s.0 '#{pane_current_command}')" = sleep ]; do :; done
t send-keys -t s.0 C-c
until [ "$(t display-message -p -t s.0 '#{pane_current_command}')" = sh ]; do :; done
t capture-pane -p -t s.0 | grep -c 'sleep 1000'
t set-buffer text; t save-buffer saved; cat saved; echo
t run-shell 'echo run > ran'; cat ran
t kill-server
until ! t list-sessions 2> /dev/null; do :; done
echo gone
"""

KEYS = r"""
set -eu
umask 022
for type in ed25519 ecdsa rsa; do
  ssh-keygen -q -t $type -N '' -C suite -f key_$type
  stat -c '%n %a' key_$type key_$type.pub
  ssh-keygen -y -f key_$type > again; cut -d' ' -f1,2 again > one; cut -d' ' -f1,2 key_$type.pub | cmp - one && echo same
  ssh-keygen -l -f key_$type | awk '{print $1, $3, $4}'
done
ssh-keygen -q -p -P '' -N secret -f key_rsa && ssh-keygen -y -P wrong -f key_rsa 2>&1 | tail -n 1
echo text > message
ssh-keygen -q -Y sign -f key_ed25519 -n file message 2>/dev/null
echo "me $(cat key_ed25519.pub)" > signers
ssh-keygen -Y verify -f signers -I me -n file -s message.sig < message | cut -d' ' -f1-4
ssh-keygen -q -s key_ecdsa -I id -n user key_ed25519.pub && ssh-keygen -L -f key_ed25519-cert.pub | grep -c Principals
eval "$(ssh-agent -a "$PWD/agent")" > /dev/null
ssh-add -q key_ed25519 2> /dev/null; ssh-add -l | awk '{print $1, $3, $4}'; ssh-agent -k > /dev/null
chmod 644 key_ed25519; SSH_AUTH_SOCK= ssh-keygen -y -f key_ed25519 2>&1 | grep -c 'UNPROTECTED' || true
"""


@requires(PYTHON, "vim", "nano")
def test_editors_on_a_pseudoterminal(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    workload = Workload("editors", [PYTHON, "editors.py"], {"editors.py": EDITORS, "text": "one\ntwo\nthree\n"})
    same_as_native(workload, sandbox, native_runs, tmp_path)


@requires("tmux")
def test_tmux_with_panes(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    same_as_native(Workload("tmux", ["sh", "tmux.sh"], {"tmux.sh": TMUX}), sandbox, native_runs, tmp_path, files=False)


@requires("ssh-keygen", "ssh-agent", "ssh-add", "awk")
def test_keys_are_made_and_used(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    same_as_native(Workload("keys", ["sh", "keys.sh"], {"keys.sh": KEYS}), sandbox, native_runs, tmp_path, files=False)
