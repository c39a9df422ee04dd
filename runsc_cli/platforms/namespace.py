"""The platform `namespace`: a container as runc makes it, for workloads that are trusted. No sentry, no gofer, no filter but the config's.

What config.json asks for is what there is: its namespaces, new or by path, real procfs and sysfs, device nodes, its cgroups. The way
there is that of every platform: the stage and never this interpreter is inside the container, mounts are made on descriptors, and
what builds their tree is a process of ours that ends when that is done, before anything of the container's runs.
"""

from __future__ import annotations

import os

from runsc_cli.errors import PyscError
from runsc_cli.platforms.base import Platform, built
from runsc_cli.platforms.choice import NAMESPACE
from runsc_cli.process import Process
from sentry.abi import CLONE_NEWNET
from sentry.platform import signals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gofer.mounts import Mount
    from gofer.tree import Plan
    from runsc_cli.container import Creation
    from runsc_cli.enter import Spaces
    from runsc_cli.mount_options import MountOptions
    from runsc_cli.oci.model import Mount as SpecMount
    from runsc_cli.oci.model import Spec


class Namespace(Platform):
    """What a trusted container needs beside its stage: next to nothing."""

    __slots__ = ("_tree",)

    name = NAMESPACE
    stage_types = ("proc", "mqueue", "sysfs")
    trusted = True

    def __init__(self, creation: Creation) -> None:
        super().__init__(creation)
        self._tree = -1
        """Who has built the tree, and stays to hold an overlay in memory."""

    def describe(self, spec: Spec, *, view: bool) -> None:
        if self.creation.context.options["profile"]:
            raise PyscError("--profile is for the platform notify: the platform namespace mediates nothing")
        for option in ("strace", "strace_syscalls", "inject"):
            if self.creation.context.options[option] not in ("", "false", []):
                name = option.replace("_", "-")
                raise PyscError(f"--{name} is for the platform notify: the platform namespace mediates nothing; use strace(1)")
        if self.creation.context.options["kernel_release"]:
            raise PyscError("--kernel-release is for the platform notify: on the platform namespace the kernel itself answers uname(2)")

    def spaces(self, spec: Spec) -> Spaces:
        from runsc_cli.enter import Spaces  # not for `exec`, here as below

        alone = self.creation.container.state.network == "none"
        spaces = Spaces(spec, CLONE_NEWNET if alone else 0, ("network",) if alone else ())
        user = spec.linux.namespace("user")
        if user is not None and user.path:
            spaces.user = user.path
        elif user is not None or os.geteuid() != 0:  # who is not root has no rights but in a user namespace
            from runsc_cli.oci.mappings import user_namespace_mappings

            spaces.mappings = user_namespace_mappings(spec, os.geteuid(), own=self.creation.context.own_ids)
        return spaces

    def filesystem(self, mount: SpecMount, options: MountOptions, made: int, field: str) -> list[Mount]:
        from runsc_cli import mount_plan

        if mount.type in ("cgroup", "cgroup2"):
            from runsc_cli.platforms import cgroup_mounts

            return cgroup_mounts.plan(mount, options, self.creation.cgroup, self.creation.warn, field)
        data = () if mount.type in self.stage_types else (*options.superblock, *options.parameters)
        return [mount_plan.made(mount, options, data, made, mount.type)]

    def build(self, spec: Spec, plan: Plan, meanwhile: Callable[[], None], *, view: bool) -> tuple[int, int]:
        from gofer import builder
        from runsc_cli.daemon import daemon

        plan.nodes = plan.userns < 0
        plan.own_dev = not any(mount.destination.rstrip("/") == "/dev" and mount.type == "bind" for mount in plan.mounts)
        ours, theirs = wire.pair()
        init, state = self.creation.init_pidfd, self.creation.container.state
        self._tree = daemon("pysc-tree", [theirs.fileno(), init, *plan.fds()], lambda: builder.run(theirs, plan, init))
        theirs.close()
        held = -1
        try:
            answer, fds = built(ours, meanwhile, "the process that builds the mount tree was killed")
            held = answer["upper"]
        finally:
            ours.close()  # which ends it, if it still waits
            if held < 0:
                os.waitpid(self._tree, 0)
                self._tree = -1
        if held >= 0:
            state.overlay["fd"] = held
            state.gofer = Process.of(self._tree)
        return fds[0], os.dup(plan.mntns)

    def abort(self) -> None:
        if self._tree > 0:
            os.kill(self._tree, signals.SIGKILL)
            os.waitpid(self._tree, 0)
