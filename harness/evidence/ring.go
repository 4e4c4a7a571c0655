package evidence

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The ring that kernel and reader share: 32 blocks of 2 MiB. A block holds packets of any size, the largest
// that loopback passes whole included (64 KiB); it is handed over when it is full, or after retireAfter.
const (
	blockSize   = 2 << 20
	blockCount  = 32
	retireAfter = 20 * time.Millisecond
)

// Where in a block, and in the header before each packet, things stand (linux/if_packet.h:
// tpacket_block_desc, tpacket3_hdr, sockaddr_ll). Numbers are in the machine's byte order.
const (
	offBlockStatus = 8
	offPackets     = 12
	offFirstPacket = 16

	offNext    = 0
	offSec     = 4
	offNsec    = 8
	offSnaplen = 12
	offLen     = 16
	offNet     = 26 // of the network header, counted from the packet's own header
	offAddress = 48 // sockaddr_ll behind the aligned header
	offPktType = offAddress + 10
)

// frame is one packet as the kernel passed it by: from its IP header on.
type frame struct {
	at       time.Time
	outgoing bool // this end sent it
	length   int  // on the wire; more than len(data) where it was cut
	data     []byte
}

// ring is an AF_PACKET socket of one network namespace with a ring of packets (packet(7), TPACKET_V3). One
// goroutine reads it.
type ring struct {
	fd   int
	mem  []byte
	turn int // the block to read next
}

// openRing captures what the filter lets pass on all devices of the calling thread's network namespace.
func openRing(filter []bpf.RawInstruction) (r *ring, err error) {
	// Protocol 0: nothing is received before the filter stands and the socket is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("AF_PACKET: %w", err)
	}
	r = &ring{fd: fd}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("AF_PACKET: TPACKET_V3: %w", err)
	}
	// Frames are a formality of this version: packets stand one behind the other.
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{
		Block_size: blockSize, Block_nr: blockCount, Frame_size: 2048, Frame_nr: blockSize / 2048 * blockCount,
		Retire_blk_tov: uint32(retireAfter / time.Millisecond)}); err != nil {
		return nil, fmt.Errorf("AF_PACKET: a ring of %d MiB: %w", blockSize*blockCount>>20, err)
	}
	if r.mem, err = unix.Mmap(fd, 0, blockSize*blockCount, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("AF_PACKET: mmap: %w", err)
	}
	code := make([]unix.SockFilter, len(filter))
	for i, in := range filter {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}); err != nil {
		return nil, fmt.Errorf("AF_PACKET: filter: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)}); err != nil {
		return nil, fmt.Errorf("AF_PACKET: bind: %w", err)
	}
	return r, nil
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// read gives every packet that is there to f, and waits up to wait for the first. The packet's bytes are the
// ring's and valid until f returns.
func (r *ring) read(wait time.Duration, f func(frame)) (n int, err error) {
	set := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
	if !r.ready() {
		if _, err := unix.Poll(set, int(wait/time.Millisecond)); err != nil && err != unix.EINTR {
			return 0, fmt.Errorf("AF_PACKET: poll: %w", err)
		}
	}
	for r.ready() {
		n += r.readBlock(f)
	}
	return n, nil
}

func (r *ring) block() []byte { return r.mem[r.turn*blockSize : (r.turn+1)*blockSize] }

// status is the word by which kernel and reader hand a block to each other.
func (r *ring) status() *uint32 { return (*uint32)(unsafe.Pointer(&r.block()[offBlockStatus])) }

func (r *ring) ready() bool { return atomic.LoadUint32(r.status())&unix.TP_STATUS_USER != 0 }

// readBlock goes through a block and gives it back.
func (r *ring) readBlock(f func(frame)) (n int) {
	b := r.block()
	word := func(p []byte, off int) int { return int(binary.NativeEndian.Uint32(p[off:])) }
	at := word(b, offFirstPacket)
	for ; n < word(b, offPackets); n++ {
		p := b[at:]
		network := int(binary.NativeEndian.Uint16(p[offNet:]))
		f(frame{
			at:       time.Unix(int64(word(p, offSec)), int64(word(p, offNsec))),
			outgoing: p[offPktType] == unix.PACKET_OUTGOING,
			length:   word(p, offLen), data: p[network : network+word(p, offSnaplen)],
		})
		at += word(p, offNext)
	}
	atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
	r.turn = (r.turn + 1) % blockCount
	return n
}

// drops is how many packets found no room since the last look.
func (r *ring) drops() int64 {
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return int64(s.Drops)
}

func (r *ring) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem) // the socket's end frees it in any case
		r.mem = nil
	}
	_ = unix.Close(r.fd)
}
