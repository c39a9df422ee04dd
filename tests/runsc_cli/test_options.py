from __future__ import annotations

import pytest

from runsc_cli.options import FLAG, GLOBAL, VERB, VERBS, BadValue, Option, Verb, names

# Callers of runc 1.5.1 pass these: containerd's shim, Docker, podman's conmon.
RUNC = {
    "": "root log log-format debug rootless systemd-cgroup version v",
    "create": "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds",
    "run": "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds detach d keep no-subreaper",
    "exec": "console-socket cwd env e tty t user u additional-gids g process p detach d pid-file process-label apparmor "
    "no-new-privs cap c preserve-fds cgroup ignore-paused",
    "kill": "all a",
    "delete": "force f",
    "list": "format f quiet q",
    "ps": "format f",
    "spec": "bundle b rootless",
    "start": "",
    "state": "",
    "features": "",
}  # fmt: skip


@pytest.mark.parametrize("verb", RUNC)
def test_runcs_options_are_known(verb: str) -> None:
    table = VERB[verb].options if verb else GLOBAL
    assert set(RUNC[verb].split()) <= set(names(table))


@pytest.mark.parametrize("verb", [None, *VERBS], ids=lambda v: v.name if v else "global")
def test_no_name_stands_for_two_options(verb: Verb | None) -> None:
    table = verb.options if verb else GLOBAL
    spellings = [name for option in table for name in (option.name, option.short) if name]
    assert len(spellings) == len(set(spellings))
    assert not {"help", "h"} & set(spellings)


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.name)
def test_every_verb_has_an_example_and_a_sentence(verb: Verb) -> None:
    assert verb.examples
    assert all(example.startswith(("pysc ", "mkdir ")) for example in verb.examples)
    assert verb.help
    assert not verb.help.endswith(".")


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_what_go_takes_for_true(text: str) -> None:
    assert Option("x", FLAG, "").convert(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_what_go_takes_for_false(text: str) -> None:
    assert Option("x", FLAG, "").convert(text) is False


@pytest.mark.parametrize("text", ["", "tRUE", "yes", "2"])
def test_what_is_no_boolean(text: str) -> None:
    with pytest.raises(BadValue, match="parse error"):
        Option("x", FLAG, "").convert(text)


@pytest.mark.parametrize("text", ["", "x", "1.0", "٣", "--1", "9" * 400])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(BadValue, match="for flag -n: parse error"):
        Option("n", "int", "").convert(text)


def test_a_choice_is_kept_to() -> None:
    (format,) = (option for option in VERB["ps"].options if option.name == "format")
    with pytest.raises(BadValue, match=r"^invalid format option$"):
        format.convert("xml")
    (platform,) = (option for option in GLOBAL if option.name == "platform")
    with pytest.raises(BadValue, match=r'^invalid value "kvm" for flag -platform: one of notify, ptrace, namespace$'):
        platform.convert("kvm")


def test_lists_are_not_shared_between_calls() -> None:
    (env,) = (option for option in VERB["exec"].options if option.name == "env")
    env.initial().append("A=1")
    assert env.initial() == []


@pytest.mark.parametrize(
    ("verb", "count", "complaint"),
    [
        ("state", 0, 'pysc: "state" requires exactly 1 argument(s)'),
        ("state", 1, ""),
        ("list", 1, 'pysc: "list" requires exactly 0 argument(s)'),
        ("kill", 0, 'pysc: "kill" requires a minimum of 1 argument(s)'),
        ("kill", 2, ""),
        ("kill", 3, 'pysc: "kill" requires a maximum of 2 argument(s)'),
        ("exec", 0, 'pysc: "exec" requires a minimum of 1 argument(s)'),
        ("exec", 99, ""),
    ],
)
def test_complaints_about_the_number_of_arguments_are_runcs(verb: str, count: int, complaint: str) -> None:
    assert VERB[verb].miscount(count) == complaint
