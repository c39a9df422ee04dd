/* unix(7): bind(2) and connect(2) with addresses */
#include "harness.h"
#include <sys/un.h>
#include <stddef.h>

static struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
static socklen_t len;
/* The address of a path, or of an abstract name with `@`; its length is `len`. */
static struct sockaddr_un *at(const char *name) {
    memset(a.sun_path, 0, sizeof a.sun_path);
    memcpy(a.sun_path, name, strnlen(name, sizeof a.sun_path));
    len = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
    if (*name == '@') a.sun_path[0] = 0;
    return &a;
}
#define SOCKET(type) ((int)OK(SYS(socket, AF_UNIX, type, 0)))
#define BIND(fd, name) ({ struct sockaddr_un *p_ = at(name); SYS(bind, fd, p_, len); })
#define CONNECT(fd, name) ({ struct sockaddr_un *p_ = at(name); SYS(connect, fd, p_, len); })
#define TO(fd, text, name) ({ struct sockaddr_un *p_ = at(name); SYS(sendto, fd, text, strlen(text), 0, p_, len); })
static int listening(const char *name) { int fd = SOCKET(SOCK_STREAM); OK(BIND(fd, name)); OK(SYS(listen, fd, 5)); return fd; }

CASE(bind_makes_a_socket) { EQ(0, BIND(SOCKET(SOCK_STREAM), "s")); CHECK(S_ISSOCK(STAT("s").st_mode)); EQ(0755, mode_of("s")); }
CASE(bind_umask) { SYS(umask, 077); EQ(0, BIND(SOCKET(SOCK_STREAM), "s")); EQ(0700, mode_of("s")); }
CASE(bind_owner) { dir_mode("d", 0777); become(USER, OTHER); EQ(0, BIND(SOCKET(SOCK_STREAM), "d/s")); EQ(USER, STAT("d/s").st_uid); EQ(OTHER, STAT("d/s").st_gid); }
CASE(bind_in_use) { EQ(0, BIND(SOCKET(SOCK_STREAM), "s")); FAILS(EADDRINUSE, BIND(SOCKET(SOCK_STREAM), "s")); file("f", ""); FAILS(EADDRINUSE, BIND(SOCKET(SOCK_STREAM), "f")); }
CASE(bind_dangling_link) { slink("none", "l"); FAILS(EADDRINUSE, BIND(SOCKET(SOCK_STREAM), "l")); }
CASE(bind_twice) { int fd = SOCKET(SOCK_STREAM); OK(BIND(fd, "s")); FAILS(EINVAL, BIND(fd, "t")); CHECK(!exists("t")); }
CASE(bind_missing_directory) { FAILS(ENOENT, BIND(SOCKET(SOCK_STREAM), "a/s")); }
CASE(bind_not_a_directory) { file("f", ""); FAILS(ENOTDIR, BIND(SOCKET(SOCK_STREAM), "f/s")); }
CASE(bind_loop) { slink("l", "l"); FAILS(ELOOP, BIND(SOCKET(SOCK_STREAM), "l/s")); }
CASE(bind_no_permission) { dir_mode("d", 0555); become(USER, GROUP); FAILS(EACCES, BIND(SOCKET(SOCK_STREAM), "d/s")); }
CASE(bind_read_only_mount) { FAILS(EROFS, BIND(SOCKET(SOCK_STREAM), "/tests/s")); }
CASE(bind_absolute) { EQ(0, BIND(SOCKET(SOCK_STREAM), "/tmp/unixsocket_s")); OK(SYS(unlink, "/tmp/unixsocket_s")); }
CASE(bind_wrong_family) { struct sockaddr_un x = {.sun_family = AF_INET}; FAILS(EINVAL, SYS(bind, SOCKET(SOCK_STREAM), &x, sizeof x)); }
CASE(bind_too_long) { FAILS(EINVAL, SYS(bind, SOCKET(SOCK_STREAM), at("s"), sizeof a + 1)); }
CASE(bind_bad_pointer) { FAILS(EFAULT, SYS(bind, SOCKET(SOCK_STREAM), BAD, 10)); }
CASE(bind_closed) { FAILS(EBADF, SYS(bind, 99, at("s"), len)); }
CASE(bind_no_socket) { file("f", ""); FAILS(ENOTSOCK, SYS(bind, OK(SYS(open, "f", O_RDONLY, 0)), at("s"), len)); }
CASE(bind_path_without_nul) { char p[110]; memset(p, 0, sizeof p); memcpy(a.sun_path, "sock", 5); EQ(0, SYS(bind, SOCKET(SOCK_STREAM), &a, 2 + 3)); CHECK(exists("soc")); }
CASE(bind_108_bytes) { dir("d"); char n[109]; memset(n, 0, sizeof n); for (int i = 0; i < 106; i += 2) memcpy(n + i, "./", 2); memcpy(n + 106, "/s", 2); EQ(0, SYS(bind, SOCKET(SOCK_STREAM), (memcpy(a.sun_path, n, 108), &a), sizeof a)); CHECK(exists("s")); }
CASE(bind_autobind) { int fd = SOCKET(SOCK_DGRAM); a.sun_family = AF_UNIX; EQ(0, SYS(bind, fd, &a, 2)); len = sizeof got; OK(SYS(getsockname, fd, &got, &len)); EQ(2 + 6, len); EQ(0, got.sun_path[0]); }
CASE(bind_abstract) { int fd = SOCKET(SOCK_STREAM); EQ(0, BIND(fd, "@pysc-suite")); FAILS(EADDRINUSE, BIND(SOCKET(SOCK_STREAM), "@pysc-suite")); CHECK(!exists("@pysc-suite")); SYS(close, fd); EQ(0, BIND(SOCKET(SOCK_STREAM), "@pysc-suite")); }
CASE(getsockname_) { int fd = SOCKET(SOCK_STREAM); OK(BIND(fd, "s")); len = sizeof got; EQ(0, SYS(getsockname, fd, &got, &len)); EQ(2 + 2, len); STREQ("s", got.sun_path); }
CASE(getsockname_unbound) { int fd = SOCKET(SOCK_STREAM); len = sizeof got; EQ(0, SYS(getsockname, fd, &got, &len)); EQ(2, len); }
CASE(connect_) { int l = listening("s"), c = SOCKET(SOCK_STREAM); EQ(0, CONNECT(c, "s")); int s = OK(SYS(accept, l, NULL, NULL)); char b[4] = ""; EQ(3, SYS(write, c, "abc", 3)); EQ(3, SYS(read, s, b, 3)); STREQ("abc", b); }
CASE(connect_abstract) { int l = listening("@pysc-suite-2"), c = SOCKET(SOCK_STREAM); EQ(0, CONNECT(c, "@pysc-suite-2")); OK(SYS(accept, l, NULL, NULL)); }
CASE(connect_through_link) { listening("s"); slink("s", "l"); EQ(0, CONNECT(SOCKET(SOCK_STREAM), "l")); }
CASE(connect_in_another_directory) { dir("d"); OK(SYS(chdir, "d")); listening("s"); OK(SYS(chdir, "..")); EQ(0, CONNECT(SOCKET(SOCK_STREAM), "d/s")); FAILS(ENOENT, CONNECT(SOCKET(SOCK_STREAM), "s")); }
CASE(connect_after_rename) { listening("s"); OK(SYS(rename, "s", "t")); EQ(0, CONNECT(SOCKET(SOCK_STREAM), "t")); }
CASE(connect_missing) { FAILS(ENOENT, CONNECT(SOCKET(SOCK_STREAM), "none")); }
CASE(connect_refused) { int fd = SOCKET(SOCK_STREAM); OK(BIND(fd, "s")); FAILS(ECONNREFUSED, CONNECT(SOCKET(SOCK_STREAM), "s")); SYS(close, fd); FAILS(ECONNREFUSED, CONNECT(SOCKET(SOCK_STREAM), "s")); FAILS(ECONNREFUSED, CONNECT(SOCKET(SOCK_STREAM), "@nobody")); }
CASE(connect_to_file) { file("f", ""); FAILS(ECONNREFUSED, CONNECT(SOCKET(SOCK_STREAM), "f")); }
CASE(connect_wrong_type) { listening("s"); FAILS(EPROTOTYPE, CONNECT(SOCKET(SOCK_DGRAM), "s")); }
CASE(connect_no_permission) { listening("s"); OK(SYS(chmod, "s", 0555)); become(USER, GROUP); FAILS(EACCES, CONNECT(SOCKET(SOCK_STREAM), "s")); }
CASE(connect_twice) { listening("s"); int c = SOCKET(SOCK_STREAM); OK(CONNECT(c, "s")); FAILS(EISCONN, CONNECT(c, "s")); }
CASE(connect_nonblocking_full) { int l = SOCKET(SOCK_STREAM); OK(BIND(l, "s")); OK(SYS(listen, l, 0)); OK(CONNECT(SOCKET(SOCK_STREAM), "s")); FAILS(EAGAIN, CONNECT(SOCKET(SOCK_STREAM | SOCK_NONBLOCK), "s")); }
CASE(connect_blocking_full) { int l = SOCKET(SOCK_STREAM); OK(BIND(l, "s")); OK(SYS(listen, l, 0)); OK(CONNECT(SOCKET(SOCK_STREAM), "s")); pid_t c = SPAWN(OK(CONNECT(SOCKET(SOCK_STREAM), "s"))); until_sleeping(c); OK(SYS(accept, l, NULL, NULL)); JOIN(c); }
CASE(connect_blocking_interrupted) { int l = SOCKET(SOCK_STREAM); OK(BIND(l, "s")); OK(SYS(listen, l, 0)); OK(CONNECT(SOCKET(SOCK_STREAM), "s")); int c = SOCKET(SOCK_STREAM); INTERRUPTED(CONNECT(c, "s")); }
CASE(connect_closed) { FAILS(EBADF, SYS(connect, 99, at("s"), len)); }
CASE(connect_bad_pointer) { FAILS(EFAULT, SYS(connect, SOCKET(SOCK_STREAM), BAD, 10)); }
CASE(accept_peer_address) { int l = listening("s"), c = SOCKET(SOCK_STREAM); OK(BIND(c, "c")); OK(CONNECT(c, "s")); len = sizeof got; OK(SYS(accept, l, &got, &len)); STREQ("c", got.sun_path); }
CASE(accept_flags) { int l = listening("s"); OK(CONNECT(SOCKET(SOCK_STREAM), "s")); int s = OK(SYS(accept4, l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); EQ(FD_CLOEXEC, SYS(fcntl, s, F_GETFD)); CHECK(SYS(fcntl, s, F_GETFL) & O_NONBLOCK); FAILS(EINVAL, SYS(accept4, l, NULL, NULL, 1)); }
CASE(accept_errors) { FAILS(EINVAL, SYS(accept, SOCKET(SOCK_STREAM), NULL, NULL)); FAILS(EOPNOTSUPP, SYS(accept, SOCKET(SOCK_DGRAM), NULL, NULL)); FAILS(EBADF, SYS(accept, 99, NULL, NULL)); int l = SOCKET(SOCK_STREAM | SOCK_NONBLOCK); OK(BIND(l, "s")); OK(SYS(listen, l, 1)); FAILS(EAGAIN, SYS(accept, l, NULL, NULL)); }
CASE(accept_interrupted) { int l = listening("s"); INTERRUPTED(SYS(accept, l, NULL, NULL)); }
CASE(listen_unbound) { FAILS(EINVAL, SYS(listen, SOCKET(SOCK_STREAM), 1)); FAILS(EOPNOTSUPP, SYS(listen, SOCKET(SOCK_DGRAM), 1)); }
CASE(peer_credentials) { int l = listening("s"); pid_t p = SPAWN(become(USER, GROUP); OK(SYS(chmod, ".", 0755) <= 0); pause()); kill(p, SIGKILL); ENDED(p); OK(SYS(chmod, "s", 0777)); p = SPAWN(become(USER, GROUP); int c = SOCKET(SOCK_STREAM); OK(CONNECT(c, "s")); pause()); int s = OK(SYS(accept, l, NULL, NULL)); struct ucred u; len = sizeof u; OK(SYS(getsockopt, s, SOL_SOCKET, SO_PEERCRED, &u, &len)); EQ(p, u.pid); EQ(USER, u.uid); EQ(GROUP, u.gid); kill(p, SIGKILL); }
CASE(datagrams) { int s = SOCKET(SOCK_DGRAM), c = SOCKET(SOCK_DGRAM); OK(BIND(s, "s")); OK(BIND(c, "c")); EQ(3, TO(c, "abc", "s")); char b[8]; len = sizeof got; EQ(3, SYS(recvfrom, s, b, 8, 0, &got, &len)); STREQ("c", got.sun_path); }
CASE(datagram_to_missing) { int c = SOCKET(SOCK_DGRAM); FAILS(ENOENT, TO(c, "x", "none")); FAILS(ECONNREFUSED, TO(c, "x", "@none")); }
CASE(datagram_connected) { int s = SOCKET(SOCK_DGRAM), c = SOCKET(SOCK_DGRAM); OK(BIND(s, "s")); EQ(0, CONNECT(c, "s")); EQ(1, SYS(write, c, "x", 1)); char b[8]; EQ(1, SYS(read, s, b, 8)); }
CASE(datagram_disconnected) { int s = SOCKET(SOCK_DGRAM), c = SOCKET(SOCK_DGRAM); OK(BIND(s, "s")); OK(CONNECT(c, "s")); struct sockaddr none = {.sa_family = AF_UNSPEC}; EQ(0, SYS(connect, c, &none, sizeof none)); FAILS(ENOTCONN, SYS(write, c, "x", 1)); }
CASE(seqpacket) { int l = SOCKET(SOCK_SEQPACKET), c = SOCKET(SOCK_SEQPACKET); OK(BIND(l, "s")); OK(SYS(listen, l, 1)); OK(CONNECT(c, "s")); int s = OK(SYS(accept, l, NULL, NULL)); EQ(2, SYS(write, c, "ab", 2)); EQ(1, SYS(write, c, "c", 1)); char b[8]; EQ(2, SYS(read, s, b, 8)); EQ(1, SYS(read, s, b, 8)); }
