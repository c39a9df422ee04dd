"""The three pieces of C: the cffi module of the sentry; the stage, a static program without a C library; the zygote's client."""

import os
import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py

STAGE_FLAGS = (
    "-Os -static -nostdlib -nostartfiles -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables "
    "-fno-pic -no-pie -Wall -Wextra -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,norelro"
).split()


CLIENT_FLAGS = "-Os -static -Wall -Wextra -Wl,-s".split()


class BuildWithPrograms(build_py):
    """Compile them beside their sources; package data takes them from there."""

    def run(self):
        for source, flags in (("runsc_cli/stage/stage.c", STAGE_FLAGS), ("runsc_cli/zygote/client.c", CLIENT_FLAGS)):
            built = source + ".new"  # renamed when whole: a pysc that starts meanwhile reads one or the other
            subprocess.run([os.environ.get("CC", "cc"), *flags, "-o", built, source], check=True)
            os.replace(built, source.removesuffix(".c"))
        super().run()


setup(
    cffi_modules=["sentry/platform/_native_build.py:ffibuilder"],
    cmdclass={"build_py": BuildWithPrograms},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
