package dsr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// findHost looks up the interface's MAC and IPv4 addresses.
func findHost(name string) (host, error) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return host{}, errors.New("no such network interface")
	}
	if len(ifc.HardwareAddr) != len(MAC{}) || ifc.Flags&net.FlagLoopback != 0 {
		return host{}, errors.New("not an Ethernet interface")
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return host{}, fmt.Errorf("cannot list its addresses: %v", err)
	}
	h := host{mac: MAC(ifc.HardwareAddr)}
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(ipnet.IP)
		ones, bits := ipnet.Mask.Size()
		if addr = addr.Unmap(); addr.Is4() && bits == 32 {
			h.networks = append(h.networks, netip.PrefixFrom(addr, ones))
		}
	}
	return h, nil
}

// receiveBuffer is room in bytes for the frames that come while we are not
// scheduled.
const receiveBuffer = 4 << 20

// openLink opens a raw packet socket on the interface (packet(7)). It is bound
// last: until then it receives nothing, so that no frame escapes the filter.
func openLink(name string) (link, error) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return nil, errors.New("no such network interface")
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a raw packet socket, which needs CAP_NET_RAW: %v", err)
	}
	if err := setUp(fd, ifc.Index); err != nil {
		_ = unix.Close(fd) // the first error tells more
		return nil, err
	}
	return os.NewFile(uintptr(fd), "packet socket on "+name), nil
}

func setUp(fd, index int) error {
	filter := frameFilter()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("cannot filter frames: %v", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("cannot receive merged frames: %v", err)
	}
	// These make it cheaper and steadier, but it works without.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)

	everything := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // in network order: packet(7)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: index}); err != nil {
		return fmt.Errorf("cannot bind a raw packet socket: %v", err)
	}
	return nil
}

// frameFilter lets IPv4 and ARP frames pass that are for this host or for all,
// and have no VLAN tag: the kernel takes the tag off before we see the frame, and
// the server's frame would lack it (linux/filter.h, SKF_AD).
func frameFilter() []unix.SockFilter {
	const (
		ancillary   = 0xfffff000 // SKF_AD_OFF
		packetType  = ancillary + 4
		vlanPresent = ancillary + 48
		etherType   = 12
		all, none   = 1 << 18, 0
	)
	const (
		word  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		half  = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		above = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	return []unix.SockFilter{
		{Code: word, K: vlanPresent},
		{Code: equal, K: 0, Jf: 6},
		{Code: word, K: packetType}, // 0 for this host, 1 broadcast, above for others or outgoing
		{Code: above, K: unix.PACKET_BROADCAST, Jt: 4},
		{Code: half, K: etherType},
		{Code: equal, K: etherIPv4, Jt: 1},
		{Code: equal, K: etherARP, Jf: 1},
		{Code: ret, K: all},
		{Code: ret, K: none},
	}
}
