package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Item is one piece of evidence.
type Item struct {
	Seq  uint64 // from 1, without gaps, within one incarnation of a member
	Kind string
	Data []byte
}

// A batch of evidence on the wire and in the spool is items end to end:
//
//	8  Seq, big endian
//	1  length of Kind
//	n  Kind
//	4  length of Data, big endian
//	m  Data
const itemOverhead = 8 + 1 + 4

var errShortItem = errors.New("evidence batch ends inside an item")

func (it Item) size() int { return itemOverhead + len(it.Kind) + len(it.Data) }

func appendItem(dst []byte, it Item) []byte {
	dst = binary.BigEndian.AppendUint64(dst, it.Seq)
	dst = append(dst, byte(len(it.Kind)))
	dst = append(dst, it.Kind...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(it.Data)))
	return append(dst, it.Data...)
}

// parseItem takes the first item off a batch. Data aliases p.
func parseItem(p []byte) (it Item, rest []byte, err error) {
	if len(p) < 9 {
		return it, nil, errShortItem
	}
	it.Seq = binary.BigEndian.Uint64(p)
	n := int(p[8])
	p = p[9:]
	if len(p) < n+4 {
		return it, nil, errShortItem
	}
	it.Kind = string(p[:n])
	m := int(binary.BigEndian.Uint32(p[n:]))
	p = p[n+4:]
	if len(p) < m {
		return it, nil, errShortItem
	}
	it.Data = p[:m:m]
	return it, p[m:], nil
}

// checkItem refuses what a batch cannot carry.
func checkItem(kind string, data []byte) error {
	switch {
	case kind == "" || len(kind) > 255:
		return fmt.Errorf("evidence kind of %d bytes: want 1 to 255", len(kind))
	case len(data) > maxItem:
		return fmt.Errorf("evidence %q of %d bytes: want at most %d", kind, len(data), maxItem)
	}
	return nil
}
