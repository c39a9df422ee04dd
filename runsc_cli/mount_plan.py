"""From config.json to the gofer's plan: which file systems, from where, with what attributes.

Here, in the command line's own namespaces and with its privileges, every host path of the config is opened, once: binds and the rootfs
become detached mounts (open_tree(2)), idmapped to the container's user namespace, so that ownership on disk stays
what the image says. What a file system cannot do (idmapped mounts of overlayfs, FUSE, NFS…) is said in a warning.
"""

from __future__ import annotations

import errno
import os
from stat import S_ISCHR

from gofer.mounts import Mount, MountError, check, new_filesystem
from runsc_cli import forked, mount_options
from runsc_cli.errors import PyscError, SpecError, strerror
from sentry.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWIPC,
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_PRIVATE,
    MS_REC,
    MS_REMOUNT,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    O_DIRECTORY,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    RESOLVE_NO_SYMLINKS,
)
from sentry.platform._native import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runsc_cli.oci.mappings import Mappings
    from runsc_cli.oci.model import Mount as SpecMount
    from runsc_cli.oci.model import Spec
    from runsc_cli.platforms.base import Platform

PROPAGATION = {"": MS_PRIVATE, "private": MS_PRIVATE, "slave": MS_SLAVE, "shared": MS_SHARED, "unbindable": MS_UNBINDABLE}

def detached(
    path: str,
    userns: int,
    recursive: bool,
    warn: Callable[[str], None],
    field: str,
    *,
    peer: bool = False,
    deep: bool = True,
    required: bool = False,
    at: int = -1,
) -> int:
    """A detached, idmapped copy of the mount at host path `path`. Raises SpecError naming `field`.

    `at`: a descriptor of what has been found there already, which then counts and not the path.

    `deep`: the mounts below are idmapped too. `required`: it is an error if that cannot be done.

    It is nobody's peer: what the config mounts on a copy of a shared mount would appear on the host as well, and stay there.
    `peer`: which is what the config asks for.
    """
    place = (at, b"") if at >= 0 else (AT_FDCWD, os.fsencode(path))
    how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_EMPTY_PATH if at >= 0 else 0)
    fd = lib.open_tree_(*place, how | (AT_RECURSIVE if recursive else 0))
    if fd == -errno.EINVAL and not recursive:
        # in a user's mount namespace nobody may look below the mounts that it has come with: mount_namespaces(7), locked mounts
        recursive = True
        fd = lib.open_tree_(*place, how | AT_RECURSIVE)
        if fd >= 0:
            _read_only_below(fd, field)
    if fd < 0:
        raise SpecError(field, f"{path!r}: {os.strerror(-fd).lower()}")
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    error = 0 if peer else lib.mount_setattr_(fd, b"", flags, 0, 0, MS_SLAVE, -1)
    if error < 0:
        os.close(fd)
        raise SpecError(field, f"make the mount of {path!r} a slave: {os.strerror(-error).lower()}")
    if userns >= 0:
        error = lib.mount_setattr_(fd, b"", flags if deep else AT_EMPTY_PATH, MOUNT_ATTR_IDMAP, 0, 0, userns)
        if error in (-errno.EINVAL, -errno.EPERM, -errno.EOPNOTSUPP) and not required:
            warn(f"{path!r} cannot be idmapped: its files belong to nobody inside the container")
        elif error < 0:
            os.close(fd)
            raise SpecError(field, f"idmapped mount of {path!r}: {os.strerror(-error).lower()}")
    return int(fd)


def _read_only_below(fd: int, field: str) -> None:
    """The mounts below a detached mount, which the config has not asked for: the attributes that it asks for are the first one's alone."""
    kept = os.fstatvfs(fd).f_flag & os.ST_RDONLY
    error = lib.mount_setattr_(fd, b"", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0, -1)
    if error >= 0 and not kept:
        error = lib.mount_setattr_(fd, b"", AT_EMPTY_PATH, 0, MOUNT_ATTR_RDONLY, 0, -1)
    if error < 0:
        os.close(fd)
        raise SpecError(field, f"make the mounts below read-only: {os.strerror(-error).lower()}")


def mounts(
    spec: Spec, bundle: str, userns: int, from_stage: dict[int, int], platform: Platform, mappings: Mappings | None
) -> list[Mount]:
    """The config's mounts as the tree is built of them. `from_stage`: index in spec.mounts -> detached mount made by the stage.

    `userns`: to whose ids binds are mapped, -1: not at all. `mappings`: of the user namespace that we have made, if we have. A devpts for a
    group that has no id there is made without one: a user with a single id has no tty group to give.
    """
    planned: list[Mount] = []
    for i, mount in enumerate(spec.mounts):
        field = f"mounts[{i}]"
        options = mount_options.parse(mount.options)
        if options.flags & MS_REMOUNT:
            attributes = (options.attr_set, options.attr_clear)
            planned.append(Mount("remount", mount.target, attr_set=attributes[0], attr_clear=attributes[1], recursive=options.recursive))
            continue
        if mount.type == "bind" or options.flags & MS_BIND:
            if mount.uid_mappings:
                from runsc_cli import idmap

                own = idmap.user_namespace(idmap.of(mount, spec, mappings, field), f"{field}.uidMappings")
                planned.append(_bind(mount, options, bundle, own, platform, field))
                os.close(own)
            else:
                planned.append(_bind(mount, options, bundle, userns, platform, field))
            continue
        fd = from_stage.get(i, -1)
        if mount.type == "mqueue" and fd < 0:
            fd = _foreign_mqueue(spec, field)
        if options.tmpcopyup:
            from gofer import copyup  # noqa: F401  # the process that uses it may be unable to read our files

            options.data = ",".join((*options.parameters, *_no_larger(options.parameters, spec)))
        if mount.type == "devpts" and mappings is not None:
            known = (option for option in options.parameters if not option.startswith("gid=") or mappings.host_gid(int(option[4:])) is not None)
            options.data = ",".join(known)
        planned += platform.filesystem(mount, options, fd, field)
    return planned


def _no_larger(parameters: tuple[str, ...], spec: Spec) -> tuple[str, ...]:
    """The size of a tmpfs that starts with what the image has there, if the config gives none: the container's memory limit.

    Who copies is not in the container's cgroup and does not get its limit, and a file with holes can have any size in an image.
    """
    if not spec.memory_limit or any(option.startswith(("size=", "nr_blocks=")) for option in parameters):
        return ()
    return (f"size={spec.memory_limit}",)


def made(mount: SpecMount, options: mount_options.MountOptions, data: tuple[str, ...], fd: int, kind: str) -> Mount:
    """A file system of its own: `fd` if the stage has made it, else one of `kind` with the options `data`."""
    return Mount(
        kind,
        mount.target,
        fd=fd,
        data=(*_source(mount), *data),
        attr_set=options.attr_set,
        attr_clear=options.attr_clear,
        propagation=options.propagation,
        propagation_recursive=options.propagation_recursive,
        copy_up=options.tmpcopyup,
    )


def _source(mount: SpecMount) -> tuple[str, ...]:
    """The option that gives a file system without a device the name under which mountinfo shows it."""
    return (f"source={mount.source}",) if mount.source else ()


def _bind(
    mount: SpecMount,
    options: mount_options.MountOptions,
    bundle: str,
    userns: int,
    platform: Platform,
    field: str,
) -> Mount:
    source = os.path.join(bundle, mount.source)
    recursive = bool(options.flags & MS_REC)
    peer = platform.trusted and options.propagation == MS_SHARED
    own = bool(mount.uid_mappings)
    deep = not own or options.idmap == "ridmap"
    warn, required = platform.creation.warn, own or bool(options.idmap)
    fd = detached(source, userns, recursive, warn, f"{field}.source", peer=peer, deep=deep, required=required)
    asked = (options.flags | options.cleared) & MS_NODEV or (options.recursive_set | options.recursive_clear) & MOUNT_ATTR_NODEV
    if not platform.trusted and not asked and not S_ISCHR(os.fstat(fd).st_mode):
        _no_devices(fd, f"{field}.source")
    return Mount(
        "bind",
        mount.target,
        fd=fd,
        attr_set=options.attr_set,
        attr_clear=options.attr_clear,
        propagation=options.propagation,
        propagation_recursive=options.propagation_recursive,
        recursive=options.recursive,
    )


def _no_devices(fd: int, field: str) -> None:
    """Device nodes that lie in what is shown cannot be opened: whoever made the image or volume does not give away the host's.

    To show devices is to bind one by its own name, or to ask for it with the option "dev".
    """
    error = lib.mount_setattr_(fd, b"", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_NODEV, 0, 0, -1)
    if error < 0:
        os.close(fd)
        raise SpecError(field, f"mount it nodev: {os.strerror(-error).lower()}")


def stage_mounts(spec: Spec, types: tuple[str, ...]) -> list[tuple[int, str, tuple[str, ...]]]:
    """(index, type, data options) of the mounts, of these types, that the stage has to make."""
    found = []
    ipc = spec.linux.namespace("ipc")
    for i, mount in enumerate(spec.mounts):
        if mount.type == "mqueue" and (ipc is None or ipc.path):
            continue
        if mount.type in types and not mount_options.parse(mount.options).bind:
            data = mount_options.parse(mount.options).parameters
            found.append((i, mount.type, (*_source(mount), *(data if mount.type == "proc" else ()))))
    return found


def _foreign_mqueue(spec: Spec, field: str) -> int:
    """The message queues of an IPC namespace that is not the container's own: its user namespace has no say there, we may have."""
    ipc = spec.linux.namespace("ipc")
    path = ipc.path if ipc is not None else ""

    def make() -> int:
        if path:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            check(lib.setns_(fd, CLONE_NEWIPC), f"join the ipc namespace {path!r}")
            os.close(fd)
        return new_filesystem("mqueue", (), "mqueue")

    try:
        return forked.mount(make, "mqueue")
    except MountError as error:
        raise SpecError(field, str(error)) from None


def _root_directory(bundle: str, path: str) -> int:
    """O_PATH descriptor of root.path. Raises PyscError where there is a symbolic link in it: what lies in a bundle may have come with the
    image, and a link called "rootfs" would make any directory of the host the container's root. As runc."""
    with_links = os.path.join(bundle, path)
    base = os.open(bundle, O_PATH | O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = int(lib.openat2_raw(base, os.fsencode(path), O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS))
    finally:
        os.close(base)
    if fd >= 0:
        return fd
    if not os.path.exists(with_links):
        raise PyscError(f"rootfs ({os.path.abspath(with_links)}) does not exist")
    if not os.path.isdir(with_links):
        raise PyscError(f"rootfs {with_links!r} is not a directory")
    if fd == -errno.ELOOP:
        raise PyscError(f"invalid rootfs: {path!r} is, or leads through, a symbolic link: name the directory itself in root.path")
    raise PyscError(f"rootfs {with_links!r}: {os.strerror(-fd).lower()}")


def rootfs(spec: Spec, bundle: str, userns: int, mappings: Mappings | None, platform: Platform) -> int:
    """The detached, idmapped mount of root.path. Raises SpecError when it is not a directory."""
    warn = platform.creation.warn
    path = os.path.join(bundle, spec.root.path)
    said: list[str] = []
    directory = _root_directory(bundle, spec.root.path)
    try:
        fd = detached(path, userns, False, said.append, "root.path", at=directory)
    finally:
        os.close(directory)
    if said and mappings is not None and os.geteuid() == 0:
        from runsc_cli import overlay

        try:
            layers = overlay.layers(path)
            if layers is not None:
                again = overlay.remount(layers, userns, mappings)
                os.close(fd)
                fd, said = again, []
        except (MountError, OSError) as error:
            said.append(f"{path!r}: {strerror(error) if isinstance(error, OSError) else error}")
    for text in said:
        warn(text)
    if not platform.trusted:
        _no_devices(fd, "root.path")
    return fd
