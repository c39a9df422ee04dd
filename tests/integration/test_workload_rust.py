"""Workload: rustc builds a library and a program with many threads, which does what it does natively."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

# Debian's: the compiler of somebody's home directory is hidden from a sandbox.
RUSTC = "/usr/bin/rustc"

pytestmark = [pytest.mark.integration, pytest.mark.short("bundle-strict"), requires(RUSTC, "cc")]

LIBRARY = r"""
pub fn digest(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf29ce484222325, |hash, byte| (hash ^ *byte as u64).wrapping_mul(0x100000001b3))
}
"""

MAIN = r"""
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{mpsc, Arc, Condvar, Mutex, RwLock};
use std::thread;

fn files(me: usize) -> std::io::Result<u64> {
    let mut sum: u64 = 0;
    for turn in 0..30 {
        let directory = format!("files/{}/{}", me, turn);
        fs::create_dir_all(&directory)?;
        let path = format!("{}/file", directory);
        fs::write(&path, format!("{} {}", me, turn))?;
        fs::rename(&path, format!("{}/renamed", directory))?;
        fs::hard_link(format!("{}/renamed", directory), &path)?;
        symlink("renamed", format!("{}/link", directory))?;
        let mut file = OpenOptions::new().read(true).append(true).open(format!("{}/link", directory))?;
        file.write_all(b" more")?;
        file.seek(SeekFrom::Start(0))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        sum = digest::digest(&text) ^ sum.rotate_left(1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
        let facts = fs::metadata(&path)?;
        assert_eq!((facts.nlink(), facts.mode() & 0o777), (2, 0o640));
        fs::remove_dir_all(&directory)?;
    }
    Ok(sum)
}

fn echo(mut stream: impl Read + Write) {
    let mut text = [0; 100];
    let count = stream.read(&mut text).unwrap();
    stream.write_all(&text[..count]).unwrap();
}

fn ask(mut stream: impl Read + Write, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn main() {
    let threads: Vec<_> = (0..32).map(|me| thread::spawn(move || files(me).unwrap())).collect();
    let sums: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    println!("{:x}", sums.iter().fold(0, |a, b| a ^ b));
    println!("{:?}", File::open("nothing").map_err(|error| error.kind()).err());
    println!("{}", fs::read_dir("files").unwrap().count());
    fs::remove_dir_all("files").unwrap();

    let listener = UnixListener::bind("socket").unwrap();
    let server = thread::spawn(move || (0..8).for_each(|_| echo(listener.accept().unwrap().0)));
    for i in 0..8 {
        print!("{} ", ask(UnixStream::connect("socket").unwrap(), &format!("local {}", i)));
    }
    server.join().unwrap();
    fs::remove_file("socket").unwrap();
    let (one, two) = UnixDatagram::pair().unwrap();
    one.send(b"datagram").unwrap();
    let mut text = [0; 100];
    println!("{}", two.recv(&mut text).unwrap());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || (0..8).for_each(|_| echo(listener.accept().unwrap().0)));
    println!("{}", (0..8).map(|i| ask(TcpStream::connect(address).unwrap(), &i.to_string())).collect::<String>());
    server.join().unwrap();
    let (one, two) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0"));
    one.send_to(b"itself", one.local_addr().unwrap()).unwrap();
    println!("{} {}", one.recv_from(&mut text).unwrap().0, two.is_ok());

    let (sender, receiver) = mpsc::channel();
    for i in 0..8 {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("cat; exit {}", i)]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(b"to the child").unwrap();
            let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
            sender.send((i, line, child.wait().unwrap().code())).unwrap();
        });
    }
    drop(sender);
    println!("{:?}", receiver.into_iter().map(|(i, line, code)| (i, (line, code))).collect::<BTreeMap<_, _>>());

    let shared = Arc::new((Mutex::new(0), Condvar::new(), RwLock::new(Vec::new())));
    let threads: Vec<_> = (0..16).map(|me| {
        let shared = shared.clone();
        thread::spawn(move || {
            let mut turn = shared.0.lock().unwrap();
            while *turn != me {
                turn = shared.1.wait(turn).unwrap();
            }
            shared.2.write().unwrap().push(me);
            *turn += 1;
            shared.1.notify_all();
        })
    }).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{:?}", shared.2.read().unwrap());
    println!("{:?}", thread::spawn(|| if std::env::args().count() > 0 { panic!("on purpose") }).join().is_err());
}
"""

SCRIPT = f"""
set -e
{RUSTC} --edition 2021 --crate-type rlib --crate-name digest --remap-path-prefix $PWD=. -C opt-level=2 digest.rs
{RUSTC} --edition 2021 --extern digest=libdigest.rlib -C opt-level=1 -C codegen-units=4 -C debuginfo=0 -o program main.rs
./program 2> errors
grep -c 'on purpose' errors
{RUSTC} --edition 2021 --test --extern digest=libdigest.rlib -o tests tests.rs && ./tests -q | grep -o '1 passed'
sha256sum libdigest.rlib
rm -f program tests errors libdigest.rlib
"""


def test_rust(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path) -> None:
    tests = '#[test] fn empty() { assert_eq!(digest::digest(b""), 0xcbf29ce484222325); }\n'
    workload = Workload("rust", ["sh", "-c", SCRIPT], {"digest.rs": LIBRARY, "main.rs": MAIN, "tests.rs": tests})
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)
