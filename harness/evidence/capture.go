package evidence

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

// end is one of the two ends of a path. It is the interface's number in the spool too.
type end int

const (
	clientEnd end = iota
	serverEnd
)

func (e end) String() string { return [...]string{"client", "server"}[e] }

// DefaultLimit is how many bytes of packets are kept, both ends together.
const DefaultLimit = 256 << 20

// Place is a network namespace in which an end, or both, can be seen.
type Place struct {
	Clients, Servers bool
	// Do runs a function inside; nil: here.
	Do func(func() error) error
}

// Config of a capture.
type Config struct {
	Dir    string // RUNDIR: evidence/ is made in it, mode 0700
	Places []Place
	// Nets hold every server's address, relays' included; Except are hosts in them that are none of the run's
	// TLS. IPv6 lets TCP over it through to the finer choice.
	Nets   []netip.Prefix
	Except []netip.Addr
	IPv6   bool
	// Relayed are the addresses of clients that reach a server through a relay on 127.0.0.1. What comes from one
	// of them straight to a server is the relay's own connection.
	Relayed []netip.Prefix
	Limit   int64 // bytes; 0: DefaultLimit
}

// Capture records while it lasts. Its methods may be called from any goroutine.
type Capture struct {
	cfg     Config
	dir     string
	started time.Time
	rings   []*ring
	places  []Place
	stopped atomic.Bool
	reading sync.WaitGroup

	mu      sync.Mutex // guards what follows
	servers map[netip.AddrPort]bool
	file    *os.File
	out     *pcapgo.NgWriter
	packets int64
	bytes   int64
	full    time.Time // when the limit was reached
	drops   int64
	broken  error // the spool could not be written

	overruns int64 // of the path's devices: packets lost that no rule asked for
}

var relayHost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Start opens a ring in each place and records. An UnsupportedError says which right is missing.
func Start(cfg Config) (c *Capture, err error) {
	if cfg.Limit == 0 {
		cfg.Limit = DefaultLimit
	}
	filter, err := filterFor(cfg.Nets, cfg.Except, cfg.IPv6)
	if err != nil {
		return nil, fmt.Errorf("capture: filter: %w", err)
	}
	c = &Capture{cfg: cfg, dir: filepath.Join(cfg.Dir, Dir), started: time.Now(), servers: map[netip.AddrPort]bool{}}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	for _, p := range cfg.Places {
		do := p.Do
		if do == nil {
			do = func(f func() error) error { return f() }
		}
		if err := do(func() error {
			r, err := openRing(filter)
			if err == nil {
				c.rings, c.places = append(c.rings, r), append(c.places, p)
			}
			return err
		}); err != nil {
			return nil, unsupported(err)
		}
	}
	if err := c.openSpool(); err != nil {
		return nil, err
	}
	for i := range c.rings {
		c.reading.Go(func() { c.readRing(c.rings[i], c.places[i]) })
	}
	return c, nil
}

// Probe says whether packets can be captured in this network namespace: nil, or an UnsupportedError.
func Probe() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return unsupported(fmt.Errorf("AF_PACKET: %w", err))
	}
	return unix.Close(fd)
}

// unsupported says what would help where the kernel refuses.
func unsupported(err error) error {
	e := &faults.UnsupportedError{Engine: "capture", What: "capture packets", Reason: err.Error(), Instead: "run without capture"}
	if errors.Is(err, unix.EPERM) {
		e.Reason += " (needs CAP_NET_RAW over the network namespace: root, or a namespace of the run's own)"
		e.Instead = `[run] netns = "own" where user namespaces are allowed, or run without capture`
	}
	return e
}

func (c *Capture) openSpool() (err error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	if c.file, err = os.OpenFile(c.spool(), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if c.out, err = newFile(c.file, clientEnd, ""); err != nil {
		return err
	}
	_, err = c.out.AddInterface(description(serverEnd))
	return err
}

func (c *Capture) spool() string { return filepath.Join(c.dir, spoolFile) }

// newFile begins a pcapng file about one end.
func newFile(w io.Writer, e end, comment string) (*pcapgo.NgWriter, error) {
	return pcapgo.NewNgWriterInterface(w, description(e), pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{Application: "tlsurge", OS: "linux", Comment: comment}})
}

func description(e end) pcapgo.NgInterface {
	return pcapgo.NgInterface{Name: e.String(), LinkType: layers.LinkTypeRaw, SnapLength: wholePacket,
		Description: "what the " + e.String() + "s' host sent, and what arrived at it"}
}

// Serve says that servers listen at these addresses from now on.
func (c *Capture) Serve(servers ...netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range servers {
		c.servers[netip.AddrPortFrom(s.Addr().Unmap(), s.Port())] = true
	}
}

// drainFor bounds how long the end of a capture waits for its rings to fall silent.
const drainFor = 2 * time.Second

// readRing is a ring's goroutine.
func (c *Capture) readRing(r *ring, p Place) {
	var until time.Time
	for {
		n, err := r.read(3*retireAfter, func(f frame) { c.keep(f, p) })
		c.mu.Lock()
		c.drops += r.drops()
		if c.broken == nil && n > 0 {
			c.broken = c.out.Flush() // a killed run leaves what was seen
		}
		c.mu.Unlock()
		switch {
		case err != nil:
			return
		case !c.stopped.Load():
		case until.IsZero():
			until = time.Now().Add(drainFor)
		case n == 0 || time.Now().After(until):
			return
		}
	}
}

// keep writes a packet to the spool if it belongs to the run.
func (c *Capture) keep(f frame, p Place) {
	s, ok := parseSegment(f.data)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.endOf(&s, f.outgoing)
	if !ok || e == clientEnd && !p.Clients || e == serverEnd && !p.Servers || c.broken != nil || !c.full.IsZero() {
		return
	}
	if c.bytes += int64(len(f.data)) + overhead; c.bytes > c.cfg.Limit {
		c.full = f.at
		return
	}
	c.packets++
	direction := pcapgo.NgEpbFlagDirectionInbound
	if f.outgoing {
		direction = pcapgo.NgEpbFlagDirectionOutbound
	}
	c.broken = c.out.WritePacketWithOptions(
		gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: max(f.length, len(f.data)), InterfaceIndex: int(e)},
		f.data, pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: direction}})
}

// overhead is what a packet takes in a file beside its bytes.
const overhead = 48

// endOf says at which end a packet was seen. A connection through a relay is two: the one up to the relay
// counts for the client alone, the relay's own for the server alone.
func (c *Capture) endOf(s *addressed, outgoing bool) (e end, ok bool) {
	fromClient, relayed := true, false
	switch {
	case c.servers[s.to]:
		relayed = c.relayed(s.from.Addr())
	case c.servers[s.from]:
		fromClient, relayed = false, c.relayed(s.to.Addr())
	case s.to.Addr() == relayHost && c.relayed(s.from.Addr()):
		return clientEnd, outgoing
	case s.from.Addr() == relayHost && c.relayed(s.to.Addr()):
		return clientEnd, !outgoing
	default:
		return 0, false
	}
	if fromClient == outgoing {
		return clientEnd, !relayed
	}
	return serverEnd, true
}

func (c *Capture) relayed(a netip.Addr) bool {
	for _, p := range c.cfg.Relayed {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Overran says that the path itself lost packets, for want of time: a gap is then no proof of a fault.
func (c *Capture) Overran(packets int64) { c.overruns = packets }

// Stop ends the recording: what was on its way is in. To call it again is no error.
func (c *Capture) Stop() {
	if c.stopped.Swap(true) {
		return
	}
	c.reading.Wait()
	for _, r := range c.rings {
		r.close()
	}
}

// Close stops, and gives the spool's file up; what is in it stays.
func (c *Capture) Close() {
	if c == nil {
		return
	}
	c.Stop()
	if c.file != nil {
		_ = c.file.Close() // closed already after Write
		c.file = nil
	}
}

// incomplete says whether packets of the run may be missing.
func (c *Capture) incomplete() bool {
	return c.drops > 0 || c.overruns > 0 || !c.full.IsZero() || c.broken != nil
}

// Notes are what a reader of the capture should know. Call it after Stop.
func (c *Capture) Notes() (notes []string) {
	if c.drops > 0 {
		notes = append(notes, fmt.Sprintf("the capture missed %d packets: this machine was too busy to take them in time", c.drops))
	}
	if !c.full.IsZero() {
		notes = append(notes, fmt.Sprintf("the capture reached its limit of %d bytes (run.capture_bytes) after %.1f s: later packets are not in it",
			c.cfg.Limit, c.full.Sub(c.started).Seconds()))
	}
	if c.broken != nil {
		notes = append(notes, fmt.Sprintf("the capture ended early: %v", c.broken))
	}
	return notes
}
