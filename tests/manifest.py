"""What a tree is made of, a line a name: `python3 manifest.py DIRECTORY...`, on stdout. For workloads, inside a sandbox and outside.

type, mode, owner, links, size, time of change to the nanosecond, target, hash of the contents, first name of the same file,
extended attributes. Of a directory neither links nor size: these are the file system's affair.
"""

import hashlib
import os
import stat
import sys


def main() -> None:
    for top in sys.argv[1:]:
        for line in lines(os.fsencode(top)):
            sys.stdout.buffer.write(line + b"\n")


def lines(top: bytes) -> "list[bytes]":
    """Sorted by name, the top as `.`."""
    names = [b"."]
    for parent, directories, files in os.walk(top):
        names += [os.path.relpath(os.path.join(parent, name), top) for name in directories + files]
    first: dict[tuple[int, int], bytes] = {}
    return [_line(top, name, first) for name in sorted(names)]


def _line(top: bytes, name: bytes, first: "dict[tuple[int, int], bytes]") -> bytes:
    path = os.path.join(top, name)
    facts = os.lstat(path)
    words = [repr(name)[2:-1], stat.filemode(facts.st_mode), f"{facts.st_uid}:{facts.st_gid}", str(facts.st_mtime_ns)]
    if not stat.S_ISDIR(facts.st_mode):
        leader = first.setdefault((facts.st_dev, facts.st_ino), name)
        words += [str(facts.st_nlink), str(facts.st_size), repr(leader)[2:-1] if leader != name else "-"]
    if stat.S_ISREG(facts.st_mode):
        with open(path, "rb") as file:
            words.append(hashlib.sha1(file.read()).hexdigest())
    elif stat.S_ISLNK(facts.st_mode):
        words.append(repr(os.readlink(path))[2:-1])
    words += [f"{key}={os.getxattr(path, key, follow_symlinks=False).hex()}" for key in sorted(os.listxattr(path, follow_symlinks=False))]
    return " ".join(words).encode()


if __name__ == "__main__":
    main()
