package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"tlsurge/profiles/wire"
)

// A ticket is key_name 16 | IV 16 | AES-128-CBC ciphertext | HMAC-SHA-256 of all before it, 32 (RFC 5077
// §4, Recommended Ticket Construction).
const ticketOverhead = 16 + 16 + 32

// ticketPlain is how long a session's plaintext is made, padding included: with it a ticket is 192
// bytes, as OpenSSL's were in 2015, and a hello that carries one has the length that browsers pad.
const ticketPlain = 128

// sealTicket protects a session.
func sealTicket(key *TicketKey, s *Session, rand io.Reader) ([]byte, error) {

	plain := appendSession(make([]byte, 0, ticketPlain), s)
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	if len(plain) < ticketPlain {
		pad = ticketPlain - len(plain)
	}
	for range pad {
		plain = append(plain, byte(pad))
	}
	out := make([]byte, 0, len(plain)+ticketOverhead)
	out = append(out, key.Name[:]...)
	out = out[:32]
	if _, err := io.ReadFull(rand, out[16:]); err != nil {
		return nil, fmt.Errorf("%w: drawing a ticket's IV: %v", ErrInternal, err)
	}
	block, err := aes.NewCipher(key.AES[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrInternal, err)
	}
	iv := out[16:32]
	out = append(out, plain...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out[32:], out[32:])
	mac := hmac.New(sha256.New, key.HMAC[:])
	mac.Write(out)
	return mac.Sum(out), nil
}

// openTicket gives the session, or nil for a ticket that is not ours, is damaged or makes no sense:
// such a ticket means a full handshake, never an alert (RFC 5077 §3.4).
func openTicket(tk TicketKeys, now time.Time, ticket []byte) (s *Session, renew bool) {
	n := len(ticket) - ticketOverhead
	if n <= 0 || n%aes.BlockSize != 0 {
		return nil, false
	}
	key, renew := tk.Find(now, [16]byte(ticket[:16]))
	if key == nil {
		return nil, false
	}
	body := ticket[:32+n]
	mac := hmac.New(sha256.New, key.HMAC[:])
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), ticket[32+n:]) {
		return nil, false
	}
	block, err := aes.NewCipher(key.AES[:])
	if err != nil {
		return nil, false
	}
	plain := make([]byte, n)
	cipher.NewCBCDecrypter(block, ticket[16:32]).CryptBlocks(plain, body[32:])
	pad := int(plain[n-1])
	if pad == 0 || pad > n {
		return nil, false
	}
	if s, err = parseSession(plain[:n-pad]); err != nil {
		return nil, false
	}
	return s, renew
}

// FixedTicketKeys is a TicketKeys that never changes: the first key protects new tickets, the others
// still open old ones and ask for renewal. It may be shared.
type FixedTicketKeys []TicketKey

// Current gives the first key.
func (k FixedTicketKeys) Current(time.Time) *TicketKey { return &k[0] }

// Find looks a key up by its name.
func (k FixedTicketKeys) Find(_ time.Time, name [16]byte) (key *TicketKey, renew bool) {
	for i := range k {
		if k[i].Name == name {
			return &k[i], i > 0
		}
	}
	return nil, false
}

// sendTicket12 sends a NewSessionTicket; a resumed session keeps its age.
func (c *Conn) sendTicket12() error {
	s := c.newSession()
	if c.hs.resumed {
		s.Created = c.hs.session.Created
	}
	ticket, err := sealTicket(c.server.Tickets.Current(c.now), s, c.server.Rand)
	if err != nil {
		return err
	}
	m := wire.NewSessionTicket12{LifetimeHint: uint32(c.server.SessionLifetime / time.Second), Ticket: ticket}
	c.hs.scratch = m.AppendMessage(c.hs.scratch[:0])
	c.sendMessage(c.hs.scratch)
	return nil
}
