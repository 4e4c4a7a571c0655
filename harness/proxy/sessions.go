package proxy

import (
	"container/list"
	"crypto/rand"
	"sync"
	"time"

	"tlsurge/harness/engine"
)

// sessionBytes is what one session takes of ssl_session_cache's size: nginx's document says that a megabyte
// holds about 4000.
const sessionBytes = 262

// builtinSessions is how many sessions the library's own cache holds (ssl_session_cache builtin).
const builtinSessions = 20480

// sessionCache keeps sessions by their ID until they are older than the timeout; full, the oldest go first.
type sessionCache struct {
	max     int
	timeout time.Duration

	mu    sync.Mutex
	byID  map[string]*list.Element
	order list.List // oldest first
}

type cachedSession struct {
	id      string
	session *engine.Session
	stored  time.Time
}

func newSessionCache(max int, timeout time.Duration) *sessionCache {
	return &sessionCache{max: max, timeout: timeout, byID: map[string]*list.Element{}}
}

func (c *sessionCache) Get(now time.Time, id []byte) *engine.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[string(id)]
	if e == nil {
		return nil
	}
	s := e.Value.(*cachedSession)
	if now.Sub(s.stored) > c.timeout {
		c.remove(e)
		return nil
	}
	return s.session
}

func (c *sessionCache) Put(now time.Time, id []byte, s *engine.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[string(id)]; e != nil {
		c.remove(e)
	}
	for c.order.Len() > 0 {
		oldest := c.order.Front()
		if c.order.Len() < c.max && now.Sub(oldest.Value.(*cachedSession).stored) <= c.timeout {
			break
		}
		c.remove(oldest)
	}
	c.byID[string(id)] = c.order.PushBack(&cachedSession{string(id), s, now})
}

func (c *sessionCache) Delete(id []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[string(id)]; e != nil {
		c.remove(e)
	}
}

func (c *sessionCache) remove(e *list.Element) {
	delete(c.byID, e.Value.(*cachedSession).id)
	c.order.Remove(e)
}

func (c *sessionCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// newTicketKey draws a ticket key.
func newTicketKey() (k engine.TicketKey) {
	rand.Read(k.Name[:])
	rand.Read(k.AES[:])
	rand.Read(k.HMAC[:])
	return k
}

// ticketKeyFromFile reads ssl_session_ticket_key: 48 bytes of name, HMAC key and AES key, as nginx has them.
// (80 bytes name the AES-256 form, which no stack before 1.1.0 wrote.)
func ticketKeyFromFile(text []byte) (k engine.TicketKey, ok bool) {
	if len(text) != 48 {
		return k, false
	}
	copy(k.Name[:], text[:16])
	copy(k.HMAC[:16], text[16:32])
	copy(k.AES[:], text[32:48])
	return k, true
}
