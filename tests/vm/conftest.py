"""These tests are for a machine of their own with systemd, cgroup version 2 alone and AppArmor: `make test-vm`, run.py."""

import os

collect_ignore_glob = [] if os.environ.get("PYSC_VM") else ["test_*.py"]
