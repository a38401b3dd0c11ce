package udp

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlMax has room for an IPV6_PKTINFO or IP_PKTINFO control message.
const controlMax = 64

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	header unix.Msghdr
	length uint32 // what was received
}

// batch is the argument of recvmmsg(2) and sendmmsg(2): messages, each of one
// buffer or (newPairs) two. The kernel is given pointers into the arrays, which therefore live as
// long as the batch.
type batch struct {
	messages []message
	vectors  []unix.Iovec
	names    []unix.RawSockaddrAny
	controls [][controlMax]byte
	buffers  []byte
}

// bufferStride is a datagram's buffer and what keeps the buffers' beginnings in
// different sets of the processor's cache.
const bufferStride = datagramMax + 192

// newBatch makes a batch that receives n datagrams at most.
func newBatch(n int) *batch {
	b := newHeaders(n)
	b.buffers = make([]byte, n*bufferStride) // pages that no datagram reaches are never in memory
	for i := range b.vectors {
		b.vectors[i].Base = &b.buffers[i*bufferStride]
	}
	return b
}

// newPairs makes a batch without buffers, that sends what it is made to refer to.
func newPairs(n int) *batch {
	return &batch{messages: make([]message, n), vectors: make([]unix.Iovec, 2*n)}
}

// newHeaders makes a batch without buffers.
func newHeaders(n int) *batch {
	b := &batch{messages: make([]message, n), vectors: make([]unix.Iovec, n)}
	for i := range b.messages {
		b.messages[i].header.Iov = &b.vectors[i]
		b.messages[i].header.SetIovlen(1)
	}
	return b
}

// wantNames has received messages bring their senders' addresses.
func (b *batch) wantNames() {
	b.names = make([]unix.RawSockaddrAny, len(b.messages))
	b.reset(len(b.messages))
}

// wantControl has them bring control messages as well.
func (b *batch) wantControl() {
	b.controls = make([][controlMax]byte, len(b.messages))
	b.reset(len(b.messages))
}

// reset prepares the first n messages for the next senders: the kernel has written over the lengths.
func (b *batch) reset(n int) {
	for i := range n {
		h := &b.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Namelen = uint32(unsafe.Sizeof(b.names[i]))
		if b.controls != nil {
			h.Control = &b.controls[i][0]
			h.SetControllen(controlMax)
		}
	}
}

// receive fills count messages at most, from number first on, with what is there.
func (b *batch) receive(fd, first, count int) (int, error) {
	for i := first; i < first+count; i++ {
		b.vectors[i].SetLen(datagramMax)
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages[first])), uintptr(count),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	for i := first; i < first+int(n); i++ {
		b.vectors[i].SetLen(int(b.messages[i].length))
	}
	return int(n), nil
}

// send sends count messages from number first on. If not all could be sent, the
// next call says why if that lasts, as with a message that is too long. What ICMP has reported in
// between is not said again (sendmmsg(2), BUGS): what goes on to that server makes it report once more.
func (b *batch) send(fd, first, count int) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages[first])), uintptr(count),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// refer makes the messages those datagrams, each behind head, as many as there are messages for, and says how many.
func (b *batch) refer(head []byte, datagrams [][]byte) int {
	n := min(len(datagrams), len(b.messages))
	for i, d := range datagrams[:n] {
		pair := b.vectors[2*i : 2*i+2]
		pair[0].Base = unsafe.SliceData(head)
		pair[0].SetLen(len(head))
		pair[1].Base = unsafe.SliceData(d)
		pair[1].SetLen(len(d))
		b.messages[i].header.Iov = &pair[0]
		b.messages[i].header.SetIovlen(len(pair))
	}
	return n
}

func (b *batch) datagram(i int) []byte {
	return unsafe.Slice(b.vectors[i].Base, int(b.vectors[i].Len))
}

// truncated reports whether a datagram was longer than datagramMax.
func (b *batch) truncated(i int) bool { return b.messages[i].header.Flags&unix.MSG_TRUNC != 0 }

// keepWhole moves the truncated ones of n received messages to the end, and says how many are left.
func (b *batch) keepWhole(first, n int) int {
	kept := first
	for i := first; i < first+n; i++ {
		if b.truncated(i) {
			continue
		}
		b.vectors[kept], b.vectors[i] = b.vectors[i], b.vectors[kept]
		kept++
	}
	return kept - first
}

// name is the sender's address of a received message, as the kernel writes it: it is the key of the flow.
func (b *batch) name(i int) []byte {
	size := min(b.messages[i].header.Namelen, uint32(unsafe.Sizeof(b.names[i])))
	return unsafe.Slice((*byte)(unsafe.Pointer(&b.names[i])), int(size))
}

// client is the sender's address of a received message; the zero AddrPort for a Unix socket's.
func (b *batch) client(i int) netip.AddrPort {
	name := b.name(i)
	if len(name) < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(name[2:])
	switch b.names[i].Addr.Family {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port)
	case unix.AF_INET6:
		if len(name) >= unix.SizeofSockaddrInet6 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(name[8:24])).Unmap(), port)
		}
	}
	return netip.AddrPort{}
}

// nameless reports whether a key is that of a Unix socket that is bound to nothing, which cannot be answered.
func nameless(key string) bool { return len(key) <= int(unsafe.Sizeof(uint16(0))) }

// address makes a message an answer to the client with that key.
func (b *batch) address(i int, key string, control []byte) {
	h := &b.messages[i].header
	h.Name = unsafe.StringData(key) // the kernel only reads it
	h.Namelen = uint32(len(key))
	h.Control = unsafe.SliceData(control)
	h.SetControllen(len(control))
}

// unaddress makes n messages fit to receive from a connected socket again, whose sender is known.
func (b *batch) unaddress(first, n int) {
	for i := first; i < first+n; i++ {
		h := &b.messages[i].header
		h.Name, h.Namelen, h.Control = nil, 0, nil
		h.SetControllen(0)
	}
}

// answerControl writes to buf the control message that makes an answer come from
// the address that received message i went to, and returns it (ip(7) IP_PKTINFO,
// RFC 3542 section 6.2). The interface is left to routing.
func (b *batch) answerControl(i int, buf []byte) []byte {
	control, v4, v6 := b.packetInfo(i)
	switch {
	case v4 != nil:
		v4.Ifindex = 0
	case v6 != nil:
		v6.Ifindex = 0
	}
	return append(buf[:0], control...)
}

// arrivedAt is the address that received message i went to; the zero Addr where the kernel has not said.
func (b *batch) arrivedAt(i int) netip.Addr {
	_, v4, v6 := b.packetInfo(i)
	switch {
	case v4 != nil:
		return netip.AddrFrom4(v4.Addr)
	case v6 != nil:
		return netip.AddrFrom16(v6.Addr).Unmap()
	}
	return netip.Addr{}
}

// packetInfo finds the control message that says where received message i went, as a whole and as what it is.
func (b *batch) packetInfo(i int) (control []byte, v4 *unix.Inet4Pktinfo, v6 *unix.Inet6Pktinfo) {
	h := &b.messages[i].header
	rest := b.controls[i][:min(int(h.Controllen), controlMax)]
	for len(rest) >= unix.SizeofCmsghdr {
		c := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(rest)))
		size := int(c.Len)
		if size < unix.SizeofCmsghdr || size > len(rest) {
			break
		}
		data := rest[unix.CmsgLen(0):size]
		switch {
		case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return rest[:size], nil, (*unix.Inet6Pktinfo)(unsafe.Pointer(unsafe.SliceData(data)))
		case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return rest[:size], (*unix.Inet4Pktinfo)(unsafe.Pointer(unsafe.SliceData(data))), nil
		}
		rest = rest[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(rest)):]
	}
	return nil, nil, nil
}
