/* netlink(7), rtnetlink(7): the interfaces, addresses and routes of a machine that has its loopback alone */
#include "harness.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

static char b[32768] __attribute__((aligned(8)));
static int s;
static void route(void) { s = OK(SYS(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)); }
static long ask(int type, int flags, int family) { struct { struct nlmsghdr h; struct rtgenmsg g; char pad[27]; } q = {.h = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 7}, .g = {family}}; q.h.nlmsg_len = sizeof q; return SYS(sendto, s, &q, q.h.nlmsg_len, 0, NULL, 0); }
/* How many messages of that type a dump has. */
static int dumped(int want) { int seen = 0; for (;;) { long n = OK(SYS(recvfrom, s, b, sizeof b, 0, NULL, NULL)); for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) { EQ(7, h->nlmsg_seq); if (h->nlmsg_type == NLMSG_DONE) return seen; CHECK(h->nlmsg_type != NLMSG_ERROR); EQ(want, h->nlmsg_type); seen++; } } }

CASE(links_are_listed) { route(); OK(ask(RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC)); CHECK(dumped(RTM_NEWLINK) >= 1); }
CASE(loopback_is_the_first) { route(); OK(ask(RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC)); OK(SYS(recvfrom, s, b, sizeof b, MSG_PEEK, NULL, NULL)); struct ifinfomsg *i = NLMSG_DATA((struct nlmsghdr *)b); EQ(1, i->ifi_index); CHECK(i->ifi_flags & IFF_LOOPBACK); CHECK(i->ifi_flags & IFF_UP); dumped(RTM_NEWLINK); }
CASE(addresses_are_listed) { route(); OK(ask(RTM_GETADDR, NLM_F_DUMP, AF_INET)); CHECK(dumped(RTM_NEWADDR) >= 1); }
CASE(routes_are_listed) { route(); OK(ask(RTM_GETROUTE, NLM_F_DUMP, AF_INET)); dumped(RTM_NEWROUTE); }
CASE(name_of_a_socket) { route(); struct sockaddr_nl n = {AF_NETLINK}; EQ(0, SYS(bind, s, &n, sizeof n)); socklen_t l = sizeof n; EQ(0, SYS(getsockname, s, &n, &l)); EQ(sizeof n, l); EQ(AF_NETLINK, n.nl_family); CHECK(n.nl_pid != 0); }
CASE(answers_come_from_the_kernel) { route(); OK(ask(RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC)); struct sockaddr_nl from = {.nl_pid = 9}; socklen_t l = sizeof from; OK(SYS(recvfrom, s, b, sizeof b, 0, &from, &l)); EQ(0, from.nl_pid); EQ(AF_NETLINK, from.nl_family); }
CASE(unknown_request) { route(); OK(ask(RTM_GETLINK + 400, NLM_F_ACK, AF_UNSPEC)); OK(SYS(recvfrom, s, b, sizeof b, 0, NULL, NULL)); struct nlmsghdr *h = (void *)b; EQ(NLMSG_ERROR, h->nlmsg_type); EQ(-EOPNOTSUPP, ((struct nlmsgerr *)NLMSG_DATA(h))->error); }
CASE(changing_as_user) { become(USER, GROUP); route(); OK(ask(RTM_DELLINK, NLM_F_ACK, AF_UNSPEC)); OK(SYS(recvfrom, s, b, sizeof b, 0, NULL, NULL)); EQ(-EPERM, ((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)b))->error); }
CASE(interface_without_name) { route(); struct { struct nlmsghdr h; struct ifinfomsg i; } q = {{sizeof q, RTM_GETLINK, NLM_F_REQUEST, 7, 0}, {.ifi_index = 4000}}; OK(SYS(sendto, s, &q, sizeof q, 0, NULL, 0)); OK(SYS(recvfrom, s, b, sizeof b, 0, NULL, NULL)); EQ(-ENODEV, ((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)b))->error); }
CASE(waiting_is_interrupted) { route(); INTERRUPTED(SYS(recvfrom, s, b, sizeof b, 0, NULL, NULL)); FAILS(EAGAIN, SYS(recvfrom, s, b, sizeof b, MSG_DONTWAIT, NULL, NULL)); }
CASE(unknown_protocol) { FAILS(EPROTONOSUPPORT, SYS(socket, AF_NETLINK, SOCK_RAW, 77)); FAILS(ESOCKTNOSUPPORT, SYS(socket, AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE)); }
CASE(listening_is_no_use) { route(); FAILS(EOPNOTSUPP, SYS(listen, s, 1)); FAILS(EOPNOTSUPP, SYS(accept, s, NULL, NULL)); }
