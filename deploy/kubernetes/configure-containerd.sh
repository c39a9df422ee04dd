#!/bin/sh
# usage: configure-containerd.sh CONFIG BINARY
# Adds the runtime handler `pysc` to containerd's configuration CONFIG, which is kept as CONFIG.before-pysc. Does nothing the second time.
set -eu

config=$1 binary=$2
plugin='plugins."io.containerd.grpc.v1.cri".containerd.runtimes'
if [ -e "$config" ] && grep -qF "[$plugin.pysc]" "$config"; then
    echo "$config: has the runtime handler pysc already"
    exit
fi
new=$config.new
trap 'rm -f "$new"' EXIT
if [ -e "$config" ]; then
    cp -p "$config" "$config.before-pysc"
    cp -p "$config" "$new"
else
    mkdir -p "$(dirname "$config")"
    printf 'version = 2\n' >"$new"
fi
# containerd wants its default runtime there as soon as there is another
grep -qF "[$plugin.runc]" "$new" || printf '\n[%s.runc]\n  runtime_type = "io.containerd.runc.v2"\n' "$plugin" >>"$new"
cat >>"$new" <<END

[$plugin.pysc]
  runtime_type = "io.containerd.runc.v2"
  pod_annotations = ["dev.pysc.*"]
[$plugin.pysc.options]
  BinaryName = "$binary"
END
mv "$new" "$config"
echo "$config: added the runtime handler pysc; restart containerd"
