#!/bin/sh
# The virtual machine of `make test-vm`: Debian with systemd, a pure version 2 hierarchy and AppArmor, out of packages from apt.
# usage: tests/vm/image.sh DIRECTORY     makes DIRECTORY/{disk.img,initrd,kernel}; root, once: what is there is taken as it is
set -eu

dir=$1
suite=bookworm
mirror=http://deb.debian.org/debian
kernel=linux-image-6.12-cloud-amd64
packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,udev,kmod,iproute2,python3,uidmap,procps,busybox-static,util-linux
packages=$packages,apparmor,containerd,runc,criu,sudo,python3-yaml
engines="docker.io podman containernetworking-plugins iptables gcc libc6-dev" # a compiler for the root of a pod

say() { echo "image: $*" >&2; }

[ "$(id -u)" = 0 ] || { say 'debootstrap wants root'; exit 1; }
export DEBIAN_FRONTEND=noninteractive
needed=
for pair in qemu-system-x86_64:qemu-system-x86 debootstrap:debootstrap cpio:cpio mke2fs:e2fsprogs depmod:kmod busybox:busybox-static; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || needed="$needed ${pair#*:}"
done
if [ -n "$needed" ]; then
    say "installing$needed"
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $needed >/dev/null
fi

mkdir -p "$dir"
work=$dir/work
rm -rf "$work"
mkdir -p "$work/kernel" "$work/initrd"
trap 'rm -rf "$work"' EXIT

say "packages of $suite (a few minutes, once)"
root=$work/rootfs
debootstrap --variant=minbase --include="$packages" $suite "$root" $mirror >"$dir/debootstrap.log" 2>&1 || { tail "$dir/debootstrap.log" >&2; exit 1; }

say 'engines' # whose dependencies have alternatives, which debootstrap does not choose from
cp /etc/resolv.conf "$root/etc/resolv.conf"
apt-config dump | grep -i '^acquire::.*proxy' >"$root/etc/apt/apt.conf.d/host" || true
# shellcheck disable=SC2086
chroot "$root" apt-get install -qq -y --no-install-recommends $engines >"$dir/engines.log" 2>&1 || { tail "$dir/engines.log" >&2; exit 1; }
rm -f "$root/etc/resolv.conf" "$root/etc/apt/apt.conf.d/host"

say 'kernel'
[ -n "$(apt-cache show $kernel 2>/dev/null)" ] || apt-get update -qq
[ -n "$(apt-cache show $kernel 2>/dev/null)" ] || kernel=linux-image-cloud-amd64
image=$(apt-cache depends $kernel | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
(cd "$work/kernel" && apt-get download -qq "$image" 2>/dev/null && dpkg-deb -x ./*.deb .)
release=$(basename "$work"/kernel/boot/vmlinuz-* | sed s/^vmlinuz-//)
modules=$work/kernel/lib/modules
[ -d "$modules" ] || modules=$work/kernel/usr/lib/modules
cp "$work/kernel/boot/vmlinuz-$release" "$dir/kernel"
mkdir -p "$root/lib/modules"
cp -a "$modules/$release" "$root/lib/modules/"
depmod -b "$root" "$release"

say 'initial ram disk'
initrd=$work/initrd
mkdir -p "$initrd/bin" "$initrd/proc" "$initrd/dev" "$initrd/root"
cp "$(command -v busybox)" "$initrd/bin/busybox"
find "$modules/$release" -name 'virtio_blk.ko*' -exec cp {} "$initrd/" \;
for packed in "$initrd"/*.ko.xz; do
    [ ! -e "$packed" ] || busybox unxz "$packed"
done
cat >"$initrd/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
echo 'pysc-vm: up' >/dev/console
/bin/busybox insmod /virtio_blk.ko
while [ ! -b /dev/vda ]; do /bin/busybox usleep 10000; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
END
chmod +x "$initrd/init"
(cd "$initrd" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/initrd"

say 'disk'
for unit in serial-getty@ttyS0.service getty@tty1.service containerd.service docker.service docker.socket podman.socket podman-restart.service \
    podman-auto-update.timer apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \
    dpkg-db-backup.timer e2scrub_reap.service systemd-timesyncd.service systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
rm -f "$root"/var/cache/apt/archives/*.deb
chroot "$root" useradd --create-home --shell /bin/bash guest
grep -q '^guest:' "$root/etc/subuid" || chroot "$root" usermod --add-subuids 100000-165535 --add-subgids 100000-165535 guest
: >"$root/etc/machine-id"
echo pysc-vm >"$root/etc/hostname"
# What is to be run is on the second disk, which is put where it is on the host: tests/vm/run.py.
cat >"$root/etc/systemd/system/pysc-tests.service" <<'END'
[Unit]
Description=the tests of the second disk
After=multi-user.target dbus.socket systemd-logind.service
[Service]
Type=oneshot
Delegate=yes
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Environment=HOME=/root
ExecStart=/bin/sh -c 'mkdir -p /mnt/code && mount -o ro /dev/vdb /mnt/code && exec sh /mnt/code/start'
ExecStopPost=/bin/sh -c 'echo "pysc-vm: ended, $EXIT_CODE $EXIT_STATUS" >/dev/ttyS0; systemctl --no-block --force poweroff'
END
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../pysc-tests.service "$root/etc/systemd/system/multi-user.target.wants/pysc-tests.service"
rm -f "$dir/disk.img"
truncate -s 4G "$work/disk.img"
mke2fs -q -t ext4 -d "$root" "$work/disk.img"
mv "$work/disk.img" "$dir/disk.img"
say "done: $(du -sh "$dir/disk.img" | cut -f1), Linux $release"
