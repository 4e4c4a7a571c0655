package hist

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
)

// Encoder makes the texts of many histograms, one after the other, in memory that it uses again: the library's
// own way makes a megabyte of garbage for each, and an agent sends ten of them a second.
type Encoder struct {
	plain  []byte
	packed bytes.Buffer
	zip    *zlib.Writer
}

// prepared is a text with the state that it was made of. Counts only grow, so a state is known by its totals.
type prepared struct {
	text           []byte
	count, clipped int64
}

func (p *prepared) of(h *Histogram) bool {
	return p.text != nil && p.count == h.Count() && p.clipped == h.clipped
}

// The V2 encoding (HdrHistogram, "Histogram V2 encoding"): big-endian cookies, of which bits 4 to 7 say how wide a
// word may be.
const (
	cookieV2         = 0x1c849303 | 0x10
	cookieV2Packed   = 0x1c849304 | 0x10
	encoderHeaderLen = 40
)

// Prepare makes h's text, which MarshalText then gives without work, until something is recorded. The text
// reads back as MarshalText's own does.
func (e *Encoder) Prepare(h *Histogram) error {
	if h.text.of(h) {
		return nil
	}
	e.encodePlain(h)
	e.packed.Reset()
	e.packed.Write(make([]byte, 8))
	if e.zip == nil {
		e.zip = zlib.NewWriter(&e.packed)
	} else {
		e.zip.Reset(&e.packed)
	}
	if _, err := e.zip.Write(e.plain); err != nil {
		return fmt.Errorf("hist: encoding: %w", err)
	}
	if err := e.zip.Close(); err != nil {
		return fmt.Errorf("hist: encoding: %w", err)
	}
	p := e.packed.Bytes()
	binary.BigEndian.PutUint32(p, cookieV2Packed)
	binary.BigEndian.PutUint32(p[4:], uint32(len(p)-8))
	text := base64.StdEncoding.AppendEncode(nil, p)
	if h.clipped != 0 {
		text = fmt.Appendf(text, "%c%d", clippedMark, h.clipped)
	}
	h.text = prepared{text, h.Count(), h.clipped}
	return nil
}

// encodePlain writes the header and the counts: positive ones as they are, a run of zeros as its negative length.
func (e *Encoder) encodePlain(h *Histogram) {
	counts := h.h.Export().Counts
	for len(counts) > 0 && counts[len(counts)-1] == 0 {
		counts = counts[:len(counts)-1]
	}
	b := append(e.plain[:0], make([]byte, encoderHeaderLen)...)
	for i := 0; i < len(counts); {
		n := counts[i]
		i++
		if n == 0 {
			for n = -1; counts[i] == 0; i++ { // the last one is not zero
				n--
			}
		}
		b = appendZigZag(b, n)
	}
	binary.BigEndian.PutUint32(b, cookieV2)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-encoderHeaderLen))
	binary.BigEndian.PutUint32(b[12:], SignificantDigits)
	binary.BigEndian.PutUint64(b[16:], LowestDiscernible)
	binary.BigEndian.PutUint64(b[24:], HighestTrackable)
	binary.BigEndian.PutUint64(b[32:], math.Float64bits(1))
	e.plain = b
}

// appendZigZag is the format's LEB128: seven bits a byte, least significant first; a ninth byte is taken whole.
func appendZigZag(b []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for range 8 {
		if u < 0x80 {
			return append(b, byte(u))
		}
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}
