/* ip(7), tcp(7), udp(7) over loopback */
#include "harness.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <net/if.h>
#include <sys/ioctl.h>
static struct sockaddr_in a, got;
static socklen_t n;
static char b[64];
static int bound(int type) { int fd = OK(SYS(socket, AF_INET, type, 0)); a = (struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}; OK(SYS(bind, fd, &a, sizeof a)); n = sizeof a; OK(SYS(getsockname, fd, &a, &n)); return fd; }
static int listening(void) { int fd = bound(SOCK_STREAM); OK(SYS(listen, fd, 5)); return fd; }
#define TCP ((int)OK(SYS(socket, AF_INET, SOCK_STREAM, 0)))
CASE(tcp) { int l = listening(), c = TCP; EQ(0, SYS(connect, c, &a, sizeof a)); n = sizeof got; int s = OK(SYS(accept, l, &got, &n)); EQ(AF_INET, got.sin_family); EQ(htonl(INADDR_LOOPBACK), got.sin_addr.s_addr); EQ(3, SYS(write, c, "abc", 3)); EQ(3, SYS(read, s, b, 9)); SYS(close, c); EQ(0, SYS(read, s, b, 9)); }
CASE(names) { int l = listening(), c = TCP; OK(SYS(connect, c, &a, sizeof a)); n = sizeof got; OK(SYS(getpeername, c, &got, &n)); EQ(a.sin_port, got.sin_port); FAILS(ENOTCONN, SYS(getpeername, l, &got, &n)); }
CASE(refused) { int l = listening(); SYS(close, l); FAILS(ECONNREFUSED, SYS(connect, TCP, &a, sizeof a)); }
CASE(in_use) { listening(); FAILS(EADDRINUSE, SYS(bind, TCP, &a, sizeof a)); }
CASE(no_such_address) { a = (struct sockaddr_in){AF_INET, 0, {htonl(0x01020304)}, {0}}; FAILS(EADDRNOTAVAIL, SYS(bind, TCP, &a, sizeof a)); }
CASE(bind_twice) { int fd = bound(SOCK_STREAM); FAILS(EINVAL, SYS(bind, fd, &a, sizeof a)); }
CASE(bind_errors) { a.sin_family = 77; FAILS(EAFNOSUPPORT, SYS(bind, TCP, &a, sizeof a)); a.sin_family = AF_INET; FAILS(EINVAL, SYS(bind, TCP, &a, 3)); FAILS(EFAULT, SYS(bind, TCP, BAD, 16)); FAILS(EBADF, SYS(bind, 99, &a, 16)); }
CASE(low_port_as_user) { become(USER, GROUP); a = (struct sockaddr_in){AF_INET, htons(80), {htonl(INADDR_LOOPBACK)}, {0}}; FAILS(EACCES, SYS(bind, TCP, &a, sizeof a)); }
CASE(nonblocking_connect) { int l = listening(); int c = OK(SYS(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)); long r = SYS(connect, c, &a, sizeof a); CHECK(r == 0 || r == -EINPROGRESS); struct pollfd q = {c, POLLOUT, 0}; EQ(1, SYS(poll, &q, 1, -1)); FAILS(EISCONN, (SYS(connect, c, &a, sizeof a), SYS(connect, c, &a, sizeof a))); SYS(close, l); }
CASE(error_is_told_once) { int l = listening(); SYS(close, l); int c = OK(SYS(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)); FAILS(EINPROGRESS, SYS(connect, c, &a, sizeof a)); struct pollfd q = {c, POLLOUT, 0}; EQ(1, SYS(poll, &q, 1, -1)); int e; n = 4; OK(SYS(getsockopt, c, SOL_SOCKET, SO_ERROR, &e, &n)); EQ(ECONNREFUSED, e); OK(SYS(getsockopt, c, SOL_SOCKET, SO_ERROR, &e, &n)); EQ(0, e); }
CASE(reset) { int l = listening(), c = TCP; OK(SYS(connect, c, &a, sizeof a)); int s = OK(SYS(accept, l, NULL, NULL)); struct linger g = {1, 0}; OK(SYS(setsockopt, c, SOL_SOCKET, SO_LINGER, &g, sizeof g)); SYS(close, c); FAILS(ECONNRESET, SYS(read, s, b, 1)); }
CASE(half_closed) { int l = listening(), c = TCP; OK(SYS(connect, c, &a, sizeof a)); int s = OK(SYS(accept, l, NULL, NULL)); OK(SYS(shutdown, c, SHUT_WR)); EQ(0, SYS(read, s, b, 1)); EQ(1, SYS(write, s, "x", 1)); EQ(1, SYS(read, c, b, 1)); }
CASE(not_connected) { FAILS(ENOTCONN, SYS(read, TCP, b, 1)); FAILS(EPIPE, SYS(sendto, TCP, "x", 1, MSG_NOSIGNAL, NULL, 0)); FAILS(ENOTCONN, SYS(shutdown, TCP, 2)); }
CASE(accept_interrupted) { int l = listening(); INTERRUPTED(SYS(accept, l, NULL, NULL)); }
CASE(accept_with_address_interrupted) { int l = listening(); n = sizeof got; INTERRUPTED(SYS(accept, l, &got, &n)); }
CASE(incoming_napi_id) { int fd = TCP, x = 1; n = 4; OK(SYS(getsockopt, fd, SOL_SOCKET, SO_INCOMING_NAPI_ID, &x, &n)); EQ(0, x); EQ(4, n); }
CASE(options) { int fd = TCP, x = 1; n = 4; EQ(0, SYS(setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &x, 4)); x = 0; OK(SYS(getsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &x, &n)); EQ(1, x); EQ(0, SYS(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &x, 4)); EQ(0, SYS(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &x, 4)); FAILS(ENOPROTOOPT, SYS(setsockopt, fd, IPPROTO_TCP, 9999, &x, 4)); }
CASE(udp) { int s = bound(SOCK_DGRAM), c = OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)); EQ(3, SYS(sendto, c, "abc", 3, 0, &a, sizeof a)); n = sizeof got; EQ(3, SYS(recvfrom, s, b, 9, 0, &got, &n)); EQ(2, SYS(sendto, s, "de", 2, 0, &got, sizeof got)); EQ(2, SYS(read, c, b, 9)); }
CASE(udp_connected) { bound(SOCK_DGRAM); int c = OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)); FAILS(EDESTADDRREQ, SYS(write, c, "x", 1)); EQ(0, SYS(connect, c, &a, sizeof a)); EQ(1, SYS(write, c, "x", 1)); }
CASE(udp_refused) { int s = bound(SOCK_DGRAM); SYS(close, s); int c = OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)); OK(SYS(connect, c, &a, sizeof a)); OK(SYS(write, c, "x", 1)); FAILS(ECONNREFUSED, SYS(read, c, b, 1)); }
CASE(udp_too_long) { bound(SOCK_DGRAM); int c = OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)); FAILS(EMSGSIZE, SYS(sendto, c, letters(65508), 65508, 0, &a, sizeof a)); }
CASE(six) { int l = OK(SYS(socket, AF_INET6, SOCK_STREAM, 0)); struct sockaddr_in6 x = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}; EQ(0, SYS(bind, l, &x, sizeof x)); OK(SYS(listen, l, 1)); n = sizeof x; OK(SYS(getsockname, l, &x, &n)); EQ(0, SYS(connect, OK(SYS(socket, AF_INET6, SOCK_STREAM, 0)), &x, sizeof x)); }
CASE(socket_errors) { FAILS(EAFNOSUPPORT, SYS(socket, 77, SOCK_STREAM, 0)); FAILS(EPROTONOSUPPORT, SYS(socket, AF_INET, SOCK_STREAM, 17)); EITHER(EINVAL, ESOCKTNOSUPPORT, SYS(socket, AF_INET, 77, 0)); FAILS(EINVAL, SYS(socket, AF_INET, SOCK_STREAM | 0x100000, 0)); }
CASE(raw_as_user) { become(USER, GROUP); FAILS(EPERM, SYS(socket, AF_INET, SOCK_RAW, 1)); FAILS(EPERM, SYS(socket, AF_PACKET, SOCK_RAW, 0)); }
CASE(raw_as_root) { OK(SYS(socket, AF_INET, SOCK_RAW, 1)); }
CASE(interface_list) { struct ifreq r = {.ifr_name = "lo"}; EQ(0, SYS(ioctl, TCP, SIOCGIFFLAGS, &r)); CHECK(r.ifr_flags & IFF_LOOPBACK); CHECK(r.ifr_flags & IFF_UP); strcpy(r.ifr_name, "none0"); FAILS(ENODEV, SYS(ioctl, TCP, SIOCGIFFLAGS, &r)); }
CASE(sendfile_to_tcp) { int l = listening(), c = TCP; OK(SYS(connect, c, &a, sizeof a)); int s = OK(SYS(accept, l, NULL, NULL)); file("f", "abc"); EQ(3, SYS(sendfile, c, OK(SYS(open, "f", O_RDONLY, 0)), NULL, 3)); EQ(3, SYS(read, s, b, 9)); }
