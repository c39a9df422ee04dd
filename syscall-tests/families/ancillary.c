/* socketpair(2), SCM_RIGHTS, SCM_CREDENTIALS, sendmsg, recvmmsg, socket options of unix(7) */
#include "harness.h"
static int s[2];
static char b[64], cb[256] __attribute__((aligned(8)));
static struct iovec v = {b, sizeof b};
static struct msghdr m;
static void pair(int type) { OK(SYS(socketpair, AF_UNIX, type, 0, s)); }
static long send_fd(int fd) { m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = cb, .msg_controllen = CMSG_SPACE(4)}; v.iov_len = 1; struct cmsghdr *c = CMSG_FIRSTHDR(&m); *c = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}; memcpy(CMSG_DATA(c), &fd, 4); return SYS(sendmsg, s[0], &m, 0); }
static int take_fd(int flags) { m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = cb, .msg_controllen = sizeof cb}; EQ(1, SYS(recvmsg, s[1], &m, flags)); int fd = -1; struct cmsghdr *c = CMSG_FIRSTHDR(&m); if (c) memcpy(&fd, CMSG_DATA(c), 4); return fd; }
CASE(stream) { pair(SOCK_STREAM); EQ(3, SYS(write, s[0], "abc", 3)); EQ(3, SYS(read, s[1], b, 9)); SYS(close, s[0]); EQ(0, SYS(read, s[1], b, 9)); }
CASE(datagrams_keep_their_length) { pair(SOCK_DGRAM); OK(SYS(write, s[0], "abc", 3)); OK(SYS(write, s[0], "d", 1)); EQ(2, SYS(recvfrom, s[1], b, 2, 0, NULL, NULL)); EQ(1, SYS(read, s[1], b, 9)); }
CASE(truncation_is_told) { pair(SOCK_DGRAM); OK(SYS(write, s[0], "abc", 3)); EQ(3, SYS(recvfrom, s[1], b, 1, MSG_TRUNC, NULL, NULL)); }
CASE(peek) { pair(SOCK_STREAM); OK(SYS(write, s[0], "abc", 3)); EQ(3, SYS(recvfrom, s[1], b, 9, MSG_PEEK, NULL, NULL)); EQ(3, SYS(read, s[1], b, 9)); }
CASE(pair_errors) { FAILS(EAFNOSUPPORT, SYS(socketpair, 77, SOCK_STREAM, 0, s)); FAILS(EPROTONOSUPPORT, SYS(socketpair, AF_UNIX, SOCK_STREAM, 9, s)); FAILS(EFAULT, SYS(socketpair, AF_UNIX, SOCK_STREAM, 0, BAD)); FAILS(EOPNOTSUPP, SYS(socketpair, AF_INET, SOCK_STREAM, 0, s)); FAILS(EINVAL, SYS(socketpair, AF_UNIX, SOCK_STREAM | 0x100000, 0, s)); }
CASE(descriptor_is_passed) { pair(SOCK_STREAM); file("f", "abc"); EQ(1, send_fd(OK(SYS(open, "f", O_RDONLY, 0)))); int fd = take_fd(0); EQ(3, SYS(read, fd, b, 9)); EQ(0, SYS(fcntl, fd, F_GETFD)); }
CASE(descriptor_passed_cloexec) { pair(SOCK_STREAM); OK(send_fd(0)); EQ(FD_CLOEXEC, SYS(fcntl, take_fd(MSG_CMSG_CLOEXEC), F_GETFD)); }
CASE(descriptor_to_another_process) { pair(SOCK_STREAM); file("f", "abc"); pid_t p = SPAWN(int fd = take_fd(0); EQ(3, SYS(read, fd, b, 9))); OK(send_fd(OK(SYS(open, "f", O_RDONLY, 0)))); JOIN(p); }
CASE(path_descriptor_is_passed) { pair(SOCK_STREAM); dir("d"); file("d/f", "abc"); OK(send_fd(OK(SYS(open, "d", O_PATH, 0)))); OK(SYS(openat, take_fd(0), "f", O_RDONLY, 0)); }
CASE(closed_descriptor) { pair(SOCK_STREAM); FAILS(EBADF, send_fd(99)); }
CASE(no_room_for_descriptors) { pair(SOCK_STREAM); OK(send_fd(0)); m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1}; EQ(1, SYS(recvmsg, s[1], &m, 0)); CHECK(m.msg_flags & MSG_CTRUNC); }
CASE(credentials) { pair(SOCK_STREAM); int one = 1; OK(SYS(setsockopt, s[1], SOL_SOCKET, SO_PASSCRED, &one, 4)); OK(SYS(write, s[0], "x", 1)); m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = cb, .msg_controllen = sizeof cb}; EQ(1, SYS(recvmsg, s[1], &m, 0)); struct cmsghdr *c = CMSG_FIRSTHDR(&m); EQ(SCM_CREDENTIALS, c->cmsg_type); struct ucred *u = (void *)CMSG_DATA(c); EQ(getpid(), u->pid); EQ(0, u->uid); }
CASE(forged_credentials) { pair(SOCK_STREAM); become(USER, GROUP); m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = cb, .msg_controllen = CMSG_SPACE(12)}; struct cmsghdr *c = CMSG_FIRSTHDR(&m); *c = (struct cmsghdr){CMSG_LEN(12), SOL_SOCKET, SCM_CREDENTIALS}; struct ucred u = {getpid(), 0, 0}; memcpy(CMSG_DATA(c), &u, 12); FAILS(EPERM, SYS(sendmsg, s[0], &m, 0)); }
CASE(many_messages) { pair(SOCK_DGRAM); struct mmsghdr mm[3] = {0}; v.iov_len = 2; for (int k = 0; k < 3; k++) mm[k].msg_hdr = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1}; EQ(3, SYS(sendmmsg, s[0], mm, 3, 0)); EQ(3, SYS(recvmmsg, s[1], mm, 3, MSG_DONTWAIT, NULL)); EQ(2, mm[2].msg_len); }
CASE(shutdown_) { pair(SOCK_STREAM); EQ(0, SYS(shutdown, s[0], SHUT_WR)); EQ(0, SYS(read, s[1], b, 1)); FAILS(EPIPE, SYS(sendto, s[0], "x", 1, MSG_NOSIGNAL, NULL, 0)); FAILS(EINVAL, SYS(shutdown, s[0], 9)); FAILS(ENOTSOCK, SYS(shutdown, OK(SYS(eventfd, 0)), 0)); }
CASE(receive_timeout) { pair(SOCK_STREAM); struct timeval t = {0, 10000}; OK(SYS(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)); FAILS(EAGAIN, SYS(read, s[0], b, 1)); }
CASE(receive_interrupted) { pair(SOCK_STREAM); INTERRUPTED(SYS(recvfrom, s[0], b, 1, 0, NULL, NULL)); }
CASE(options) { pair(SOCK_STREAM); int x; socklen_t n = 4; OK(SYS(getsockopt, s[0], SOL_SOCKET, SO_TYPE, &x, &n)); EQ(SOCK_STREAM, x); OK(SYS(getsockopt, s[0], SOL_SOCKET, SO_DOMAIN, &x, &n)); EQ(AF_UNIX, x); FAILS(ENOPROTOOPT, SYS(getsockopt, s[0], SOL_SOCKET, 9999, &x, &n)); FAILS(EFAULT, SYS(setsockopt, s[0], SOL_SOCKET, SO_SNDBUF, BAD, 4)); FAILS(EINVAL, SYS(setsockopt, s[0], SOL_SOCKET, SO_SNDBUF, &x, 1)); }
CASE(urgent_data) { pair(SOCK_STREAM); EQ(1, SYS(sendto, s[0], "x", 1, MSG_OOB, NULL, 0)); }
