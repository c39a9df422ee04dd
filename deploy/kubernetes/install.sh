#!/bin/sh
# usage: install.sh WHEELS     on a node, as root: pysc into /opt/pysc from the wheels in a directory, and containerd's configuration
set -eu

wheels=$1
python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("pysc needs Python 3.11 or newer on the node")'
python3 -m venv /opt/pysc
/opt/pysc/bin/pip install --quiet --no-index --find-links "$wheels" --upgrade pysc
/opt/pysc/bin/python -Im runsc_cli.command
if /opt/pysc/bin/pysc install --containerd --path /opt/pysc/bin/pysc | grep restart; then
    systemctl restart containerd
fi
