// Package dsr is direct server return: clients send to a service address,
// pen passes each frame on to one of the servers without touching the IP
// packet, and the servers answer the clients directly. It is also the tarpit,
// which makes a network look full of hosts that accept connections and then
// say nothing (penctl(1), dsr_if and tarpit_acl).
//
// The servers hold the service address on their loopback interface and do not
// answer ARP for it (on Linux: arp_ignore=1, arp_announce=2); they are on the
// same Ethernet as pen. The host that pen runs on must not hold it, and must
// not forward IPv4 itself, or its kernel answers or forwards the packets too;
// that host cannot be a client of the service.
//
// # What happens to a frame
//
// Facts marked "as pen" were observed of pen 0.34.1.
//
//   - An ARP request for the service address is answered with the MAC address of
//     the interface, as pen.
//   - A TCP frame (with [Config.UDP] a UDP one, and then no TCP, as pen) for the
//     service address and port gets the chosen server's MAC address as its
//     destination, ours as its source, and goes out again, as pen. Time to live,
//     options and checksums stay. Port 0 stands for all ports, as pen; the
//     servers' own ports have no meaning.
//   - The server is found by a slot from 0 to 255, the exclusive or of the client
//     address's four bytes, with [Config.RoundRobin] also of the client port's two.
//     The slots are dealt out in proportion to weight, where a weight below 1
//     counts as 1, whatever mode is set; both as pen, slot for slot.
//   - Every ARP packet from a server tells its MAC address (RFC 826). Servers are
//     asked every second until they answer, and again 60 seconds after they were
//     last heard.
//   - Where an address that [Config.Tarpit] matches is asked for, ARP is answered
//     as for the service, and a TCP SYN with SYN+ACK. Nothing follows.
//   - All other frames are left to the kernel: other ports, other protocols,
//     ICMP echo, IPv6. Nothing is ever answered with an error.
//
// # Differences from pen 0.34.1
//
//   - A server that leaves three requests in a row unanswered is down, and one on
//     the blacklist is not used; the following servers in order take its slots,
//     unless [Config.Stubborn]. The original keeps a MAC address for ever, goes on
//     sending to blacklisted servers, and sends garbage while it knows no address.
//   - Weights, addresses and the rest take effect at once.
//   - Only frames for our own MAC address are forwarded: what a switch floods to
//     all ports, and frames on VLANs, whose tag would be lost, are left alone.
//   - Later fragments, which carry no port, follow the client's address; fragments
//     are never spread by port, so that all of one datagram meet.
//   - ICMP errors about what a server sent reach that server (destination
//     unreachable, time exceeded, parameter problem), so that path MTU discovery
//     (RFC 1191) works.
//   - The service takes precedence over the tarpit. The tarpit leaves alone the
//     addresses of servers and of the interface, and answers only a SYN without
//     ACK, RST or FIN, which two tarpits could otherwise throw to and fro for ever.
//   - Frames that the kernel has merged, or whose checksum it left to the network
//     card, arrive whole (see packet(7), PACKET_VNET_HDR); the original drops or
//     breaks them.
//   - ARP requests carry the interface's own address where it has one in the
//     server's network: servers with arp_ignore=2 answer no other.
package dsr

import (
	"net/netip"

	"edgepen/proxy/backend"
)

// Config is what a [Balancer] does: plain data.
type Config struct {
	// Interface is the name of the Ethernet interface (penctl(1), dsr_if).
	Interface string
	// Address is the service address, IPv4. The interface need not hold it,
	// and should not.
	Address netip.Addr
	// Port is the service's port, 0 for all ports.
	Port uint16
	// UDP balances UDP and nothing else; otherwise it is TCP and nothing else
	// (pen(1), -U).
	UDP bool
	// RoundRobin spreads the connections of one client (pen(1), -r).
	RoundRobin bool
	// Stubborn drops the frames for a server that is down or on the blacklist
	// (pen(1), -s).
	Stubborn bool
	// Servers holds the slots of the server table in order, so that
	// Servers[i] is what penctl(1) calls server i.
	Servers []Server
	// Tarpit reports whether an IPv4 address belongs to the tarpit; nil for
	// none. It is called by one goroutine, for ARP requests and for TCP SYNs.
	Tarpit func(netip.Addr) bool
}

// Server is one slot of the server table.
type Server struct {
	// Addr is the server's own address, IPv4, on the interface's Ethernet. The
	// zero Addr is a slot that was never given one, and takes no part.
	Addr netip.Addr
	// Weight is the server's share; below 1 it counts as 1.
	Weight int
	// State gets the bytes of the IP packets forwarded, and is asked whether
	// the server is on the blacklist; nil for none.
	State *backend.State
}

// Status is what a [Balancer] has done since it was opened. The numbers are of
// frames; one that the kernel has merged of several counts once.
type Status struct {
	Forwarded uint64 // frames passed on to a server
	ARP       uint64 // ARP requests answered
	Tarpitted uint64 // SYNs answered by the tarpit
	Dropped   uint64 // frames for the service that no server could take
	Failed    uint64 // frames that could not be read or sent
	Servers   []ServerStatus
}

// ServerStatus is what is known of one server, by its place in
// [Config.Servers].
type ServerStatus struct {
	Addr  netip.Addr // the zero Addr for a slot without an address
	MAC   MAC        // the last one heard of, zero if none
	Up    bool       // answers ARP
	Slots int        // of 256: its share of the clients
}
