package symptom

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// Bounds of a capture's memory.
const (
	mostConnections = 100_000
	mostHellos      = 200
	mostChains      = 100
)

// capture reads a capture: connections, what they offered, how they ended, and which belong together.
func (r *reader) capture(ctx context.Context, in io.Reader) error {
	segments, err := hello.NewSegments(in)
	if err != nil {
		return err
	}
	c := capture{open: map[[2]netip.AddrPort]*connection{}, nearest: map[string]likeness{}}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := segments.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if segments.Packets == 0 {
				return fmt.Errorf("the capture cannot be read: %w", err)
			}
			r.report.Notes = append(r.report.Notes, fmt.Sprintf("the capture breaks off after %d packets: %v", segments.Packets, err))
			break
		}
		c.take(&s)
	}
	if len(c.all) == 0 {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("no TCP connection in the capture's %d packets", segments.Packets))
	}
	if c.left > 0 {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("more than %d connections: %d segments of later ones were left out", mostConnections, c.left))
	}
	c.report(r)
	return nil
}

type capture struct {
	open    map[[2]netip.AddrPort]*connection // by client and server
	all     []*connection
	last    time.Time
	left    int
	nearest map[string]likeness // by the hello's identity
}

// likeness is whose a hello looks like.
type likeness struct {
	names []string // best first, one at least
	near  bool     // the best is near enough to speak of that browser
}

// take gives a segment to its connection.
func (c *capture) take(s *hello.Segment) {
	if s.Time.After(c.last) {
		c.last = s.Time
	}
	key := [2]netip.AddrPort{s.Src, s.Dst}
	conn := c.open[key]
	if conn == nil {
		conn = c.open[[2]netip.AddrPort{s.Dst, s.Src}]
	}
	again := conn != nil && s.SYN && !s.ACK && (conn.end.how != "" || conn.half[0].known && conn.half[0].next != s.Seq+1 && conn.synAck)
	if conn == nil || again {
		if s.RST || s.FIN && s.Length == 0 || s.Length == 0 && !s.SYN {
			return // the tail of something that began before the capture
		}
		if len(c.all) >= mostConnections {
			c.left++
			return
		}
		conn = &connection{client: s.Src, server: s.Dst, start: s.Time, end: ending{alert: -1}}
		if fromServer(s) {
			conn.client, conn.server = s.Dst, s.Src
		}
		c.open[[2]netip.AddrPort{conn.client, conn.server}] = conn
		c.all = append(c.all, conn)
	}
	conn.take(s)
}

// fromServer says whether the first segment of a connection comes from its server.
func fromServer(s *hello.Segment) bool {
	if s.SYN {
		return s.ACK
	}
	if len(s.Payload) > 5 && s.Payload[0] == byte(wire.RecordHandshake) {
		switch wire.HandshakeType(s.Payload[5]) {
		case wire.TypeClientHello:
			return false
		case wire.TypeServerHello:
			return true
		}
	}
	return s.Src.Port() < s.Dst.Port()
}

// attempt is a connection, judged.
type attempt struct {
	*connection
	Signature
	hello *Hello
}

// report judges the connections and joins them.
func (c *capture) report(r *reader) {
	slices.SortStableFunc(c.all, func(a, b *connection) int { return a.start.Compare(b.start) })
	var attempts []attempt
	rows := map[[9]string]*captureRow{}
	others := map[string]*notTLS{}
	for _, conn := range c.all {
		if what := conn.speech(); what != speaksTLS && what != speaksNothing {
			o := others[what]
			if o == nil {
				o = &notTLS{what: what, server: conn.server}
				others[what] = o
			}
			o.add(conn)
			continue
		}
		a := attempt{connection: conn, Signature: conn.judge(c.last)}
		for _, h := range c.hellos(conn) {
			if a.hello == nil {
				a.hello, a.Offered = &h, h.Version
			}
			if len(r.report.Hellos) < mostHellos {
				r.report.Hellos = append(r.report.Hellos, h)
			}
		}
		if a.hello != nil && len(a.hello.Profiles) > 0 && a.hello.near {
			if p, err := profiles.Lookup(a.hello.Profiles[0]); err == nil {
				a.Software = Family(p.Browser)
			}
		}
		attempts = append(attempts, a)
		if a.Class == results.ClassOK || a.Class == "" && a.Reason == "" {
			continue
		}
		row := rows[a.key()]
		if row == nil {
			row = &captureRow{Signature: a.Signature, clients: map[netip.Addr]bool{}}
			row.Text = a.words()
			rows[a.key()] = row
		}
		row.add(conn)
	}
	for _, row := range rows {
		row.Clients = len(row.clients)
		if d := row.Last.Sub(row.First).Seconds(); d >= 1 {
			row.PerS = float64(row.Count) / d
		}
		r.captures = append(r.captures, row.Signature)
	}
	r.report.Chains = append(r.report.Chains, chains(attempts)...)
	for _, what := range slices.Sorted(maps.Keys(others)) {
		r.report.Notes = append(r.report.Notes, others[what].String())
	}
}

type captureRow struct {
	Signature
	clients map[netip.Addr]bool
}

func (row *captureRow) add(c *connection) {
	row.Count++
	row.clients[c.client.Addr()] = true
	at := c.last
	if c.end.how != "" {
		at = c.end.at
	}
	if row.First.IsZero() || at.Before(row.First) {
		row.First = at
	}
	if at.After(row.Last) {
		row.Last = at
	}
}

// hellos gives the ClientHellos of a connection.
func (c *capture) hellos(conn *connection) (list []Hello) {
	found, err := hello.Import(conn.half[0].stream)
	if len(conn.half[0].stream) == 0 || err != nil {
		return nil
	}
	for _, f := range found {
		h := Hello{Time: conn.start, Client: conn.client.String(), Server: conn.server.String(), Version: f.Hello.MaxVersion().String(),
			SCSV: f.Hello.HasSuite(wire.FallbackSCSV), JA3: f.Hello.JA3Hash(), JA4: f.Hello.JA4(), Hello: f.Hello}
		id := f.Hello.Identity()
		if _, known := c.nearest[id]; !known {
			var like likeness
			for i, n := range profiles.Nearest(f.Hello, 3) {
				if i == 0 || n.Distance < farthest {
					like.names = append(like.names, n.Name)
				}
				like.near = like.near || n.Distance < farthest
			}
			c.nearest[id] = like
		}
		h.Profiles, h.near = c.nearest[id].names, c.nearest[id].near
		list = append(list, h)
	}
	return list
}

// farthest is the distance up to which a hello may be that browser's, and a second and third profile are worth naming.
const farthest = 40

// judge says what became of a connection. Class is ok where nothing went wrong, empty where nothing can be said.
func (c *connection) judge(captureEnd time.Time) Signature {
	s := Signature{Origin: Capture, Alert: -1, Stage: c.end.stage.String(), Count: 0}
	e := c.end
	silent := c.silence(captureEnd)
	switch {
	case e.how == "":
		s.Stage = c.stage().String()
		switch {
		case c.syns > 0 && !c.synAck && c.half[1].bytes == 0:
			if c.syns > 1 {
				s.Class = results.ClassConnectTimeout
			}
		case c.open() && (!c.requested || c.answered):
			s.Class = results.ClassOK
		case silent > longSilence && c.open():
			s.Class = results.ClassRequestTimeout
		case silent > longSilence && c.half[0].bytes > 0:
			s.Class = results.ClassHandshakeTimeout
		}
	case !c.synAck && c.syns > 0 && c.half[1].bytes == 0 && e.sender == "server":
		s.Class, s.Stage = results.ClassConnectRefused, "syn"
	case e.how == "alert":
		s.Alert, s.Sender = e.alert, e.sender
		s.Class = results.ClassPeerAlert
		if e.sender == "client" {
			s.Class = results.ClassLocalAlert
			if e.alert >= 42 && e.alert <= 48 && e.alert != 47 {
				s.Class = results.ClassCertificate
			}
		}
	case e.open:
		s.Class = c.judgeOpen(silent)
	case (c.half[0].blind || c.half[1].blind) && c.half[1].wire > 0:
		s.Stage = ""
		if e.sender == "server" && e.how == "rst" {
			s.Reason = "reset by the server; the capture keeps too little of the packets to say when"
		}
	case e.sender == "server" && e.how == "rst":
		s.Class = results.ClassReset
		if ttl := c.half[1].ttl; ttl != 0 && e.ttl != 0 && e.ttl != ttl {
			s.Reason = fmt.Sprintf("RST with another TTL than the server's (%d, not %d): something on the way sent it", e.ttl, ttl)
		}
	case e.sender == "server":
		s.Class = results.ClassEOF
	case silent > longSilence:
		s.Class = results.ClassHandshakeTimeout
	case c.half[0].bytes > 0 && c.half[1].bytes == 0:
		s.Reason = "the client closed before an answer came"
	case c.half[0].bytes > 0:
		s.Reason = "the client closed in the handshake"
	default:
		s.Class = results.ClassOK // a connection that was opened ahead, and not used
	}
	if answer := c.half[1].stream; c.speech() == speaksTLS && startsHello(c.half[0].stream) && startsNoTLS(answer) {
		// What browsers take it for: a record that is none, SSL_ERROR_RX_RECORD_TOO_LONG, ERR_SSL_PROTOCOL_ERROR.
		s.Reason, s.Class, s.Alert, s.Sender = "the server answered in what is no TLS", results.ClassLocalAlert, int(wire.AlertUnexpectedMessage), "client"
		if startsHTTP(answer) {
			s.Reason = "the server answered in plain HTTP"
		}
	}
	return s
}

// judgeOpen is for connections whose handshake was done when they ended.
func (c *connection) judgeOpen(silent time.Duration) results.Class {
	// TLS 1.3: tickets come behind the first request and look like an answer.
	waiting := c.requested && (!c.answered || c.observer.TLS13() && c.requests == 1 && c.answer < 700 && c.end.how == "rst")
	switch {
	case !waiting:
		return results.ClassOK
	case c.end.sender == "server" && c.end.how == "rst":
		return results.ClassRequestReset
	case c.end.sender == "server":
		return results.ClassRequestEOF
	case silent > longSilence:
		return results.ClassRequestTimeout
	}
	return results.ClassOK // the client changed its mind
}

// silence is how long nothing had come when the connection ended, or the capture did.
func (c *connection) silence(captureEnd time.Time) time.Duration {
	since, until := c.progress, captureEnd
	if since.IsZero() {
		since = c.start
	}
	if c.end.how != "" {
		until = c.end.at
	} else if c.open() {
		since = c.last
	}
	return until.Sub(since)
}
