package symptom

import (
	"bufio"
	"encoding/binary"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// utf16Of gives the byte order of a text in UTF-16, by the zeros that Latin letters have in every other byte; nil for
// other texts.
func utf16Of(head []byte) binary.ByteOrder {
	if len(head) < 2 {
		return nil
	}
	marked := head[0] == 0xff && head[1] == 0xfe || head[0] == 0xfe && head[1] == 0xff
	head = head[:min(len(head), 400)&^1]
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i&1]++
		}
	}
	most, other := max(zeros[0], zeros[1]), min(zeros[0], zeros[1])
	half := len(head) / 2
	switch {
	case other > most/8, !marked && (half < 8 || most*10 < half*9), marked && most*3 < half:
		return nil // two odd bytes at the beginning are no mark
	case zeros[1] > zeros[0]:
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// utf16Reader reads UTF-16 as UTF-8. What is none becomes the replacement character.
type utf16Reader struct {
	in    *bufio.Reader
	order binary.ByteOrder
	rest  []byte
	out   []byte
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		if err := u.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// fill decodes up to 4096 units.
func (u *utf16Reader) fill() error {
	u.out = u.out[:0]
	for range 4096 {
		r, err := u.unit()
		if err != nil {
			if len(u.out) == 0 {
				return err
			}
			break
		}
		if utf16.IsSurrogate(r) {
			next, err := u.peek()
			if pair := utf16.DecodeRune(r, next); err == nil && pair != utf8.RuneError {
				_, _ = u.unit() // it was there a moment ago
				r = pair
			} else {
				r = utf8.RuneError
			}
		}
		if r != '\ufeff' {
			u.out = utf8.AppendRune(u.out, r)
		}
	}
	u.rest = u.out
	return nil
}

func (u *utf16Reader) unit() (rune, error) {
	var b [2]byte
	if _, err := io.ReadFull(u.in, b[:]); err != nil {
		return 0, io.EOF // an odd byte at the end is nothing
	}
	return rune(u.order.Uint16(b[:])), nil
}

func (u *utf16Reader) peek() (rune, error) {
	b, err := u.in.Peek(2)
	if err != nil {
		return 0, err
	}
	return rune(u.order.Uint16(b)), nil
}
