"""The stub that mypy reads against the C declarations that cffi compiles."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import sentry.platform
from sentry.platform import _native_build
from sentry.platform._native import lib

STUB = Path(sentry.platform.__path__[0], "_native.pyi")


def declared() -> dict[str, int]:
    """Each function of the C declarations, and how many parameters it has."""
    text = re.sub(r"/\*.*?\*/|^#.*?$|struct \w+ \{.*?\};", "", _native_build.CDEF, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"(\w+)\(([^)]*)\);", text)
    return {name: 0 if parameters == "void" else parameters.count(",") + 1 for name, parameters in found}


def stubbed() -> dict[str, int]:
    """The same of the stub's class, without self."""
    functions = [node for node in ast.walk(ast.parse(STUB.read_text())) if isinstance(node, ast.FunctionDef)]
    return {f.name: len(f.args.posonlyargs) + len(f.args.args) - 1 for f in functions}


def test_the_stub_declares_what_is_compiled() -> None:
    assert stubbed() == declared()


def test_the_module_was_compiled_from_these_declarations() -> None:
    functions = {name for name in dir(lib) if callable(getattr(lib, name))}
    assert functions == set(declared())
