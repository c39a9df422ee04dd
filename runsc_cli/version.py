"""The version of pysc and the newest version of the runtime specification that it implements."""

from __future__ import annotations

VERSION = "0.1.0"
SPEC_VERSION = "1.3.0"
