"""The two pieces of C: the cffi module of the sentry, and the stage, a static program without a C library."""

import os
import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py

STAGE_FLAGS = (
    "-Os -static -nostdlib -nostartfiles -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables "
    "-fno-pic -no-pie -Wall -Wextra -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,norelro"
).split()


class BuildWithStage(build_py):
    """Compile runsc_cli/stage/stage.c beside its source; package data takes it from there."""

    def run(self):
        source = os.path.join("runsc_cli", "stage", "stage.c")
        built = source + ".new"  # renamed when whole: a pysc that starts meanwhile reads one stage or the other
        subprocess.run([os.environ.get("CC", "cc"), *STAGE_FLAGS, "-o", built, source], check=True)
        os.replace(built, source.removesuffix(".c"))
        super().run()


setup(
    cffi_modules=["sentry/platform/_native_build.py:ffibuilder"],
    cmdclass={"build_py": BuildWithStage},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
