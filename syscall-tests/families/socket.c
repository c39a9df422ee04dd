/* socket(2), socketpair(2), and what each call on a socket says of a descriptor or an address that is none */
#include "harness.h"
#include <netinet/in.h>
#include <sys/un.h>

static struct sockaddr_in in;
static socklen_t n = sizeof in;
static char b[64];
static struct iovec v = {b, sizeof b};
static struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
static struct mmsghdr mm;
static int x;

#define STREAM ((int)OK(SYS(socket, AF_UNIX, SOCK_STREAM, 0)))
#define DATAGRAM ((int)OK(SYS(socket, AF_UNIX, SOCK_DGRAM, 0)))
/* `fd` in the call: a closed descriptor, then one of a file. */
#define NO_SOCKET(name, ...)                                                                                               \
    static long name##_on(int fd) { return SYS(name, __VA_ARGS__); }                                                       \
    CASE(name##_closed) { FAILS(EBADF, name##_on(99)); FAILS(EBADF, name##_on(-1)); }                                      \
    CASE(name##_of_a_file) { file("f", ""); FAILS(ENOTSOCK, name##_on(OK(SYS(open, "f", O_RDWR, 0)))); }

NO_SOCKET(bind, fd, (in.sin_family = AF_INET, &in), sizeof in)
NO_SOCKET(connect, fd, (in.sin_family = AF_INET, &in), sizeof in)
NO_SOCKET(listen, fd, 1)
NO_SOCKET(accept, fd, NULL, NULL)
NO_SOCKET(accept4, fd, NULL, NULL, SOCK_CLOEXEC)
NO_SOCKET(getsockname, fd, &in, &n)
NO_SOCKET(getpeername, fd, &in, &n)
NO_SOCKET(getsockopt, fd, SOL_SOCKET, SO_TYPE, &x, &n)
NO_SOCKET(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &x, sizeof x)
NO_SOCKET(shutdown, fd, SHUT_RDWR)
NO_SOCKET(sendto, fd, "x", 1, 0, NULL, 0)
NO_SOCKET(recvfrom, fd, b, 1, 0, NULL, NULL)
NO_SOCKET(sendmsg, fd, &m, 0)
NO_SOCKET(recvmsg, fd, &m, 0)
NO_SOCKET(sendmmsg, fd, &mm, 1, 0)
NO_SOCKET(recvmmsg, fd, &mm, 1, 0, NULL)

CASE(bad_buffers) { int s = DATAGRAM; FAILS(EFAULT, SYS(getsockname, s, BAD, &n)); FAILS(EFAULT, SYS(getsockname, s, &in, BAD)); FAILS(EFAULT, SYS(getsockopt, s, SOL_SOCKET, SO_TYPE, BAD, &n)); FAILS(EFAULT, SYS(setsockopt, s, SOL_SOCKET, SO_KEEPALIVE, BAD, 4)); FAILS(EFAULT, SYS(sendmsg, s, BAD, 0)); FAILS(EFAULT, SYS(recvmsg, s, BAD, 0)); FAILS(EFAULT, SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, BAD)); }
CASE(bad_data) { int p[2]; OK(SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, p)); FAILS(EFAULT, SYS(sendto, p[0], BAD, 1, 0, NULL, 0)); OK(SYS(write, p[0], "x", 1)); FAILS(EFAULT, SYS(recvfrom, p[1], BAD, 1, 0, NULL, NULL)); FAILS(EFAULT, SYS(sendto, p[0], "x", 1, 0, BAD, 16)); }
CASE(bad_lengths) { int s = DATAGRAM; n = -1; FAILS(EINVAL, SYS(getsockname, s, &in, &n)); FAILS(EINVAL, SYS(getsockopt, s, SOL_SOCKET, SO_TYPE, &x, &n)); FAILS(EINVAL, SYS(setsockopt, s, SOL_SOCKET, SO_KEEPALIVE, &x, 1)); FAILS(EINVAL, SYS(bind, s, &in, -1)); FAILS(EINVAL, SYS(connect, s, &in, -1)); FAILS(EINVAL, SYS(sendto, s, "x", 1, 0, &in, -1)); }
CASE(not_connected) { FAILS(ENOTCONN, SYS(getpeername, STREAM, &in, &n)); FAILS(ENOTCONN, SYS(sendto, STREAM, "x", 1, 0, NULL, 0)); FAILS(EINVAL, SYS(recvfrom, STREAM, b, 1, 0, NULL, NULL)); FAILS(ENOTCONN, SYS(sendto, DATAGRAM, "x", 1, 0, NULL, 0)); FAILS(ENOTCONN, SYS(sendmsg, DATAGRAM, &m, 0)); }
CASE(connected_already) { int p[2]; struct sockaddr_un to = {AF_UNIX, "s"}; OK(SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, p)); FAILS(EISCONN, SYS(sendto, p[0], "x", 1, 0, &to, sizeof to)); FAILS(EINVAL, SYS(listen, p[0], 1)); FAILS(EINVAL, SYS(accept, p[0], NULL, NULL)); }
CASE(other_family) { int t = OK(SYS(socket, AF_INET, SOCK_STREAM, 0)); in.sin_family = AF_APPLETALK; FAILS(EAFNOSUPPORT, SYS(connect, t, &in, sizeof in)); int u = OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)); FAILS(EAFNOSUPPORT, SYS(connect, u, &in, sizeof in)); FAILS(EAFNOSUPPORT, SYS(sendto, u, "x", 1, 0, &in, sizeof in)); in.sin_family = AF_INET; FAILS(EINVAL, SYS(connect, STREAM, &in, sizeof in)); FAILS(EINVAL, SYS(connect, t, &in, 8)); FAILS(EFAULT, SYS(connect, t, BAD, sizeof in)); }
CASE(nowhere) { in = (struct sockaddr_in){AF_INET, htons(9), {htonl(0x0a010203)}, {0}}; FAILS(ENETUNREACH, SYS(connect, OK(SYS(socket, AF_INET, SOCK_STREAM, 0)), &in, sizeof in)); FAILS(ENETUNREACH, SYS(connect, OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)), &in, sizeof in)); FAILS(ENETUNREACH, SYS(sendto, OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)), "x", 1, 0, &in, sizeof in)); }
CASE(broadcast_without_asking) { in = (struct sockaddr_in){AF_INET, htons(9), {htonl(INADDR_LOOPBACK | 0xffffff)}, {0}}; FAILS(EACCES, SYS(connect, OK(SYS(socket, AF_INET, SOCK_DGRAM, 0)), &in, sizeof in)); }
/* Nobody accepts and the queue is full, so the third one's first packet is not answered. */
static int unanswered(int kind) { int l = OK(SYS(socket, AF_INET, SOCK_STREAM, 0)); in = (struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}; OK(SYS(bind, l, &in, sizeof in)); OK(SYS(listen, l, 0)); n = sizeof in; OK(SYS(getsockname, l, &in, &n)); OK(SYS(connect, OK(SYS(socket, AF_INET, SOCK_STREAM, 0)), &in, sizeof in)); return OK(SYS(socket, AF_INET, SOCK_STREAM | kind, 0)); }
CASE(in_progress) { int c = unanswered(SOCK_NONBLOCK); FAILS(EINPROGRESS, SYS(connect, c, &in, sizeof in)); FAILS(EALREADY, SYS(connect, c, &in, sizeof in)); FAILS(EAGAIN, SYS(read, c, b, 1)); }
CASE(tcp_connect_interrupted) { int c = unanswered(0); INTERRUPTED(SYS(connect, c, &in, sizeof in)); OK(SYS(fcntl, c, F_SETFL, O_NONBLOCK)); FAILS(EALREADY, SYS(connect, c, &in, sizeof in)); }
CASE(tcp_connect_with_a_timeout) { int c = unanswered(0); struct timeval t = {0, 20000}; OK(SYS(setsockopt, c, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t)); FAILS(EINPROGRESS, SYS(connect, c, &in, sizeof in)); }
