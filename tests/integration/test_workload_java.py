"""Workload: javac and a JVM with many threads: files, mapped memory, children, sockets, file events, garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from containers import requires
from workloads import Workload, same_as_native

if TYPE_CHECKING:
    from pathlib import Path

    from workloads import NativeRuns, Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400), requires("java", "javac", "jar")]

MAIN = r"""
package work;

import java.io.*;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.nio.file.attribute.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;

public class Main {
    static final int THREADS = 16, TURNS = Integer.parseInt(System.getenv("TURNS"));

    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.ROOT);
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        files(pool);
        mapped();
        children(pool);
        local(pool);
        loopback(pool);
        watched();
        memory(pool);
        pool.shutdown();
        System.out.println(pool.awaitTermination(60, TimeUnit.SECONDS) + " " + Hidden.name());
        System.out.println(new String(Main.class.getResourceAsStream("/text.txt").readAllBytes()).trim());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("shut down")));
        System.exit(3);
    }

    static <T> List<T> all(ExecutorService pool, int count, java.util.function.IntFunction<Callable<T>> make) throws Exception {
        List<T> results = new ArrayList<>();
        for (Future<T> future : pool.invokeAll(IntStream.range(0, count).mapToObj(make).collect(Collectors.toList())))
            results.add(future.get());
        return results;
    }

    static void files(ExecutorService pool) throws Exception {
        AtomicLong bytes = new AtomicLong();
        all(pool, THREADS, me -> () -> {
            for (int turn = 0; turn < TURNS; turn++) {
                Path directory = Files.createDirectories(Path.of("files", "d" + me, "e" + turn));
                Path file = directory.resolve("f");
                Files.writeString(file, "line\n".repeat(turn + 1));
                Files.move(file, directory.resolve("g"), StandardCopyOption.ATOMIC_MOVE);
                Files.copy(directory.resolve("g"), file);
                Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
                bytes.addAndGet(Files.size(file) + Files.readAllLines(directory.resolve("g")).size());
                Files.delete(file);
            }
            return me;
        });
        try (Stream<Path> walk = Files.walk(Path.of("files"))) {
            System.out.println(bytes + " " + walk.filter(Files::isRegularFile).count());
        }
        Files.createSymbolicLink(Path.of("link"), Path.of("files/d0"));
        Path link = Path.of("link");
        System.out.println(link.toRealPath().getFileName() + " " + Files.isDirectory(link) + " " + Files.getOwner(link));
        try {
            Files.createDirectory(Path.of("files"));
        } catch (FileAlreadyExistsException e) {
            System.out.println("exists: " + e.getMessage());
        }
        try (Stream<Path> walk = Files.walk(Path.of("files"))) {
            walk.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        }
        Files.delete(Path.of("link"));
    }

    static void mapped() throws Exception {
        try (FileChannel channel = new RandomAccessFile("mapped", "rw").getChannel()) {
            FileLock lock = channel.lock();
            MappedByteBuffer buffer = channel.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
            for (int i = 0; i < 1 << 20; i += 4)
                buffer.putInt(i, i * 31);
            buffer.force();
            ByteBuffer read = ByteBuffer.allocate(8);
            channel.read(read, 4096);
            System.out.println(read.getInt(0) + " " + lock.isValid() + " " + channel.size());
            try (FileChannel other = FileChannel.open(Path.of("copied"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                System.out.println(channel.transferTo(0, channel.size(), other));
            }
        }
        Files.delete(Path.of("mapped"));
        Files.delete(Path.of("copied"));
    }

    static void children(ExecutorService pool) throws Exception {
        System.out.println(all(pool, 8, me -> () -> {
            Process process = new ProcessBuilder("sh", "-c", "cat; exit " + me).start();
            process.getOutputStream().write(("to child " + me).getBytes());
            process.getOutputStream().close();
            return new String(process.getInputStream().readAllBytes()) + " " + process.waitFor();
        }));
        Process sleeping = new ProcessBuilder("cat").redirectErrorStream(true).start();
        System.out.println(ProcessHandle.of(sleeping.pid()).get().isAlive());
        System.out.println(sleeping.destroyForcibly().waitFor());
        try {
            new ProcessBuilder("/nothing").start();
        } catch (IOException e) {
            System.out.println(e.getMessage());
        }
    }

    static void serve(ExecutorService pool, ServerSocketChannel server, int count) {
        pool.submit(() -> {
            for (int i = 0; i < count; i++)
                try (SocketChannel channel = server.accept()) {
                    ByteBuffer buffer = ByteBuffer.allocate(100);
                    while (channel.read(buffer) >= 0) ;
                    channel.write(buffer.flip());
                }
            return null;
        });
    }

    static String ask(SocketChannel channel, String text) throws IOException {
        try (channel) {
            channel.write(ByteBuffer.wrap(text.getBytes()));
            channel.shutdownOutput();
            ByteBuffer buffer = ByteBuffer.allocate(100);
            while (channel.read(buffer) >= 0) ;
            return new String(buffer.array(), 0, buffer.position());
        }
    }

    static void local(ExecutorService pool) throws Exception {
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of("socket");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(address);
            serve(pool, server, 8);
            System.out.println(all(pool, 8, me -> () -> ask(SocketChannel.open(address), "local " + me)));
        }
        Files.delete(Path.of("socket"));
    }

    static void loopback(ExecutorService pool) throws Exception {
        try (ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))) {
            serve(pool, server, 8);
            System.out.println(all(pool, 8, me -> () -> ask(SocketChannel.open(server.getLocalAddress()), "loopback " + me)));
        }
        try (Selector selector = Selector.open(); DatagramChannel one = DatagramChannel.open(); DatagramChannel two = DatagramChannel.open()) {
            one.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)).configureBlocking(false);
            one.register(selector, SelectionKey.OP_READ);
            two.send(ByteBuffer.wrap("datagram".getBytes()), one.getLocalAddress());
            ByteBuffer buffer = ByteBuffer.allocate(100);
            System.out.println(selector.select(60000) + " " + (one.receive(buffer) != null) + " " + buffer.position());
        }
    }

    static void watched() throws Exception {
        Files.createDirectory(Path.of("watched"));
        try (WatchService watcher = FileSystems.getDefault().newWatchService()) {
            Path.of("watched").register(watcher, StandardWatchEventKinds.ENTRY_CREATE, StandardWatchEventKinds.ENTRY_DELETE);
            Files.writeString(Path.of("watched/file"), "");
            Files.delete(Path.of("watched/file"));
            List<String> seen = new ArrayList<>();
            while (seen.size() < 2) {
                WatchKey key = watcher.poll(60, TimeUnit.SECONDS);
                for (WatchEvent<?> event : key.pollEvents())
                    seen.add(event.kind() + " " + event.context());
                key.reset();
            }
            System.out.println(seen);
        }
        Files.delete(Path.of("watched"));
    }

    static void memory(ExecutorService pool) throws Exception {
        System.out.println(all(pool, THREADS, me -> () -> {
            Map<Integer, byte[]> kept = new HashMap<>();
            for (int turn = 0; turn < TURNS * 100; turn++)
                kept.put(turn % 50, new byte[10000 + turn % 7]);
            return kept.values().stream().mapToInt(array -> array.length).sum();
        }).stream().mapToInt(Integer::intValue).sum());
        StringBuilder deep = new StringBuilder();
        try {
            recurse(0);
        } catch (StackOverflowError e) {
            deep.append("stack overflow");  // SIGSEGV on a guard page
        }
        try {
            Object nothing = TURNS < 0 ? "" : null;
            deep.append(nothing.hashCode());
        } catch (NullPointerException e) {
            deep.append(", null pointer");
        }
        System.out.println(deep);
    }

    static int recurse(int depth) {
        return recurse(depth + 1) + 1;
    }
}
"""

HIDDEN = """
package work;

class Hidden {
    static String name() throws Exception {
        return Class.forName("work.Main").getMethod("main", String[].class).getName();
    }
}
"""

# Without the files in /tmp by which one JVM sees another: `do` would tell that the host's are hidden.
SCRIPT = """
set -e
mkdir classes
javac -Xlint:all -J-Xmx256m -J-XX:-UsePerfData -d classes src/*.java
cp text.txt classes
jar -J-XX:-UsePerfData --create --file program.jar --date 2020-01-01T00:00:00Z --main-class work.Main -C classes .
jar -J-XX:-UsePerfData --list --file program.jar | sort
sha256sum classes/work/*.class
for collector in $COLLECTORS; do
    java -XX:-UsePerfData -XX:+Use$collector -Xmx128m -jar program.jar || echo "exit: $?"
done
java -XX:-UsePerfData -Xshare:off -Xint -XX:+UseSerialGC -version 2> version && wc -l < version
rm -r classes program.jar version
"""


@pytest.mark.short
def test_a_jvm_with_many_threads(sandbox: Sandbox, native_runs: NativeRuns, tmp_path: Path, long: bool) -> None:
    files = {"src/Main.java": MAIN, "src/Hidden.java": HIDDEN, "text.txt": "a resource\n"}
    env = {"TURNS": "100", "COLLECTORS": "SerialGC ParallelGC G1GC ZGC"} if long else {"TURNS": "10", "COLLECTORS": "G1GC"}
    workload = Workload("java", ["sh", "-c", SCRIPT], files, env, timeout=180)
    assert native_runs(workload)[0].code == 0, native_runs(workload)[0]
    same_as_native(workload, sandbox, native_runs, tmp_path)
