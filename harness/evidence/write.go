package evidence

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"

	"tlsurge/faults"
	"tlsurge/results"
)

// Summary is what the evidence of a run shows.
type Summary struct {
	Packets [2]int // of the client's and the server's file
	// Firings that hit a connection, and how many of them a packet shows.
	Firings, Shown int
}

// Write makes the evidence of a run that has ended: it reads the spool, finds out which packets the faults
// hit, and writes the files. The spool is removed.
func (c *Capture) Write(j *results.Joined) (Summary, error) {
	c.Stop()
	var sum Summary
	if c.broken == nil {
		c.broken = c.out.Flush()
	}
	recs := records(j)
	fl, err := c.index(recs, j)
	if err != nil {
		return sum, err
	}
	marks := [2]map[int][]string{{}, {}}
	comment := func(list []mark) {
		for _, m := range list {
			marks[m.end][m.frame] = append(marks[m.end][m.frame], m.text)
		}
	}
	blows := fl.join(recs, j, c.incomplete())
	for i := range blows {
		b := &blows[i]
		list := b.marks()
		comment(list)
		sum.Firings++
		if len(list) > 0 {
			sum.Shown++
			b.date(list)
		}
	}
	for _, r := range recs {
		comment(r.marks())
	}
	secrets, err := mergeKeys(c.dir)
	if err != nil {
		return sum, err
	}
	if sum.Packets, err = c.split(marks, secrets); err != nil {
		return sum, err
	}
	err = errors.Join(writeJoined(filepath.Join(c.dir, JoinedFile), recs, j), writeTimeline(filepath.Join(c.dir, TimelineFile), recs),
		c.file.Close(), os.Remove(c.spool()))
	c.file = nil
	return sum, err
}

// index reads the spool once and keeps the connections that matter.
func (c *Capture) index(recs []*record, j *results.Joined) (*flows, error) {
	fl := newFlows()
	for _, r := range recs {
		whole := r.Class != results.ClassOK || len(r.firings) > 0
		fl.want(r.Tuple, whole)
		fl.want(r.atServer(), whole)
	}
	for i := range j.Firings {
		f := &j.Firings[i]
		fl.want(f.Tuple, true)
		if f.Upstream != nil {
			fl.want(*f.Upstream, true)
		}
	}
	return fl, c.replay(func(p spooled) error {
		s, ok := parseSegment(p.data)
		if !ok {
			return fmt.Errorf("evidence: packet %d of the spool is no TCP segment", p.n)
		}
		fl.see(p.end, p.ci.Timestamp, p.options.Flags != nil && p.options.Flags.Direction == pcapgo.NgEpbFlagDirectionInbound, s)
		return nil
	})
}

// join hangs connections on attempts, and gives the firings with theirs. What hit an edge as a whole hit no
// connection, and is left out.
func (f *flows) join(recs []*record, j *results.Joined, incomplete bool) (blows []blow) {
	byKey := map[faults.Key]*record{}
	at := map[faults.Key]int{} // how many of the attempt's firings have their connections
	for _, r := range recs {
		r.client = f.opened(clientEnd, r.Tuple, started(r.Attempt))
		r.server = f.opened(serverEnd, r.atServer(), started(r.Attempt))
		byKey[r.Key] = r
	}
	for i := range j.Firings {
		b := blow{Firing: j.Firings[i], incomplete: incomplete}
		if r := byKey[b.Key]; b.HasKey && r != nil {
			b.client, b.server = r.client, r.server
			b.told = &r.firings[at[b.Key]]
			at[b.Key]++
		} else if b.Tuple.Client.IsValid() {
			up := b.Tuple
			if b.Upstream != nil {
				up = *b.Upstream
			}
			b.client = f.had(clientEnd, b.Tuple, b.Time)
			if b.server = f.otherEnd(b.client, up); b.server == nil {
				b.server = f.had(serverEnd, up, b.Time)
			}
		} else {
			continue
		}
		blows = append(blows, b)
	}
	return blows
}

// spooled is a packet of the spool. Its bytes are valid until the next.
type spooled struct {
	n       int
	end     end
	ci      gopacket.CaptureInfo
	data    []byte
	options pcapgo.NgPacketOptions
}

// replay goes through the spool.
func (c *Capture) replay(f func(spooled) error) error {
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := pcapgo.NewNgReader(bufio.NewReader(c.file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return fmt.Errorf("evidence: spool: %w", err)
	}
	for n := 1; ; n++ {
		data, ci, options, err := r.ZeroCopyReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && c.broken != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("evidence: spool: %w", err)
		}
		if err := f(spooled{n, end(ci.InterfaceIndex), ci, data, options}); err != nil {
			return err
		}
	}
}

// split writes a file for each end: the secrets first, then the packets with their comments.
func (c *Capture) split(marks [2]map[int][]string, secrets []byte) (frames [2]int, err error) {
	var outs [2]*pcapgo.NgWriter
	for e, name := range [2]string{ClientFile, ServerFile} {
		f, err := os.OpenFile(filepath.Join(c.dir, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return frames, err
		}
		defer f.Close()
		if outs[e], err = newFile(f, end(e), "recorded by tlsurge; comments begin with ATTEMPT, FAULT, LOG or END; checksums of loopback packets are not filled in"); err != nil {
			return frames, err
		}
		if len(secrets) > 0 {
			if err := outs[e].WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, secrets); err != nil {
				return frames, err
			}
		}
	}
	err = c.replay(func(p spooled) error {
		frames[p.end]++
		options := pcapgo.NgPacketOptions{Flags: p.options.Flags, Comments: marks[p.end][frames[p.end]]}
		p.ci.InterfaceIndex = 0
		return outs[p.end].WritePacketWithOptions(p.ci, p.data, options)
	})
	for _, out := range outs {
		// Both rings' together: which end's packets a ring had no room for nobody knows.
		err = errors.Join(err, out.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{LastUpdate: time.Now(), PacketsReceived: uint64(c.packets),
			PacketsDropped: uint64(c.drops)}), out.Flush())
	}
	return frames, err
}
