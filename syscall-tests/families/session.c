/* setsid(2), setpgid(2), getsid, getpgid; pty(7), tty_ioctl(4), job control */
#include "harness.h"
#include <sys/ioctl.h>
#include <termios.h>
static int master, slave;
static char n[40], b[64];
static void terminal(void) { int u, l = 0; master = OK(SYS(open, "/dev/ptmx", O_RDWR | O_NOCTTY, 0)); OK(SYS(ioctl, master, TIOCSPTLCK, &l)); OK(SYS(ioctl, master, TIOCGPTN, &u)); sprintf(n, "/dev/pts/%d", u); slave = OK(SYS(open, n, O_RDWR | O_NOCTTY, 0)); }
static void controlling(void) { terminal(); OK(SYS(setsid)); OK(SYS(ioctl, slave, TIOCSCTTY, 0)); }
CASE(setsid_) { CHILD(EQ(getpid(), SYS(setsid)); EQ(getpid(), SYS(getsid, 0)); EQ(getpid(), SYS(getpgid, 0)); FAILS(EPERM, SYS(setsid))); }
CASE(setpgid_) { CHILD(EQ(0, SYS(setpgid, 0, 0)); EQ(getpid(), SYS(getpgrp))); FAILS(EINVAL, SYS(setpgid, 0, -1)); FAILS(ESRCH, SYS(setpgid, 4000000, 0)); FAILS(EPERM, SYS(setpgid, 0, 4000000)); FAILS(ESRCH, SYS(getsid, 4000000)); FAILS(ESRCH, SYS(getpgid, 4000000)); }
CASE(setpgid_of_a_session_leader) { CHILD(SYS(setsid); FAILS(EPERM, SYS(setpgid, 0, 0))); }
CASE(pty_carries) { terminal(); EQ(3, SYS(write, master, "ab\n", 3)); EQ(3, SYS(read, slave, b, 64)); CHECK(!memcmp(b, "ab\n", 3)); }
CASE(pty_echoes) { terminal(); OK(SYS(write, master, "a", 1)); EQ(1, SYS(read, master, b, 64)); EQ('a', b[0]); }
CASE(pty_raw) { terminal(); struct termios t; tcgetattr(slave, &t); cfmakeraw(&t); tcsetattr(slave, TCSANOW, &t); OK(SYS(write, master, "a", 1)); EQ(1, SYS(read, slave, b, 64)); }
CASE(pty_newline_is_translated) { terminal(); OK(SYS(write, slave, "x\n", 2)); EQ(3, SYS(read, master, b, 64)); CHECK(!memcmp(b, "x\r\n", 3)); }
CASE(pty_window_size) { CHILD(controlling(); handle(SIGWINCH, 0); struct winsize w = {24, 80, 0, 0}, v; OK(SYS(ioctl, master, TIOCSWINSZ, &w)); OK(SYS(ioctl, slave, TIOCGWINSZ, &v)); EQ(24, v.ws_row); EQ(80, v.ws_col); EQ(1, signals_seen)); }
CASE(pty_locked) { int u; int fd = OK(SYS(open, "/dev/ptmx", O_RDWR | O_NOCTTY, 0)); OK(SYS(ioctl, fd, TIOCGPTN, &u)); sprintf(n, "/dev/pts/%d", u); FAILS(EIO, SYS(open, n, O_RDWR, 0)); }
CASE(pty_hangup) { terminal(); SYS(close, master); EQ(0, SYS(read, slave, b, 64)); FAILS(EIO, SYS(write, slave, "x", 1)); FAILS(ENOENT, SYS(open, n, O_RDWR, 0)); }
CASE(pty_master_sees_the_end) { terminal(); SYS(close, slave); FAILS(EIO, SYS(read, master, b, 64)); }
CASE(pty_peer) { terminal(); int p = OK(SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY)); OK(SYS(write, p, "q", 1)); EQ(1, SYS(read, master, b, 64)); }
CASE(interrupt_character) { CHILD(controlling(); handle(SIGINT, 0); OK(SYS(write, master, "\003", 1)); while (!signals_seen) sleep_ms(2); EQ(1, signals_seen)); }
CASE(hangup_signal) { pid_t p = SPAWN(controlling(); SYS(close, master); for (;;) pause()); EQ(SIGHUP, ENDED(p)); }
CASE(controlling_terminal_opened) { CHILD(controlling(); int t = OK(SYS(open, "/dev/tty", O_RDWR, 0)); OK(SYS(write, t, "z", 1)); EQ(1, SYS(read, master, b, 64))); }
CASE(opening_makes_it_the_controlling_one) { CHILD(terminal(); SYS(close, slave); OK(SYS(setsid)); OK(SYS(open, n, O_RDWR, 0)); OK(SYS(open, "/dev/tty", O_RDWR, 0))); }
CASE(opening_does_not_take_it_from_another_session) { CHILD(controlling(); CHILD(OK(SYS(setsid)); OK(SYS(open, n, O_RDWR, 0)); FAILS(ENXIO, SYS(open, "/dev/tty", O_RDWR, 0))); OK(SYS(open, "/dev/tty", O_RDWR, 0))); }
CASE(opening_for_writing_does_not) { CHILD(terminal(); OK(SYS(setsid)); OK(SYS(open, n, O_WRONLY, 0)); FAILS(ENXIO, SYS(open, "/dev/tty", O_RDWR, 0))); }
CASE(opening_by_no_leader_does_not) { CHILD(terminal(); OK(SYS(setsid)); CHILD(OK(SYS(open, n, O_RDWR, 0)); FAILS(ENXIO, SYS(open, "/dev/tty", O_RDWR, 0)))); }
CASE(opening_the_master_does_not) { CHILD(OK(SYS(setsid)); OK(SYS(open, "/dev/ptmx", O_RDWR, 0)); FAILS(ENXIO, SYS(open, "/dev/tty", O_RDWR, 0))); }
CASE(opening_with_noctty_does_not) { CHILD(terminal(); OK(SYS(setsid)); OK(SYS(open, n, O_RDWR | O_NOCTTY, 0)); FAILS(ENXIO, SYS(open, "/dev/tty", O_RDWR, 0))); }
CASE(foreground_group) { CHILD(controlling(); int g; OK(SYS(ioctl, slave, TIOCGPGRP, &g)); EQ(getpid(), g); OK(SYS(ioctl, slave, TIOCGSID, &g)); EQ(getpid(), g)); }
CASE(background_reader_stops) { CHILD(controlling(); pid_t p = SPAWN(setpgid(0, 0); SYS(read, slave, b, 1)); int s; EQ(p, SYS(wait4, p, &s, WUNTRACED, NULL)); CHECK(WIFSTOPPED(s)); EQ(SIGTTIN, WSTOPSIG(s)); kill(p, SIGKILL)); }
CASE(foreground_is_set) { CHILD(controlling(); signal(SIGTTOU, SIG_IGN); pid_t p = SPAWN(pause()); OK(SYS(setpgid, p, p)); OK(SYS(ioctl, slave, TIOCSPGRP, &p)); OK(SYS(write, master, "\003", 1)); EQ(SIGINT, ENDED(p))); }
CASE(read_interrupted) { terminal(); INTERRUPTED(SYS(read, slave, b, 1)); }
CASE(no_terminal) { file("f", ""); struct termios t; FAILS(ENOTTY, SYS(ioctl, OK(SYS(open, "f", O_RDWR, 0)), TCGETS, &t)); }
