package upstream

import (
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"strconv"
)

// Method is how a group chooses among its servers.
type Method uint8

const (
	RoundRobin Method = iota
	LeastConn
	IPHash // by the network of the client
	Hash   // by a key of the configuration's
	Random
)

// maxRehash is how often a choice by hash is repeated before the group goes round.
const maxRehash = 20

// NextFor is Next for a request with this key: the client's address for IPHash, the text for Hash.
func (g *Group) NextFor(tried map[*Server]bool, key string) (*Server, error) {
	g.mu.Lock()
	var s *Server
	switch g.Method {
	case IPHash:
		s = g.byNetwork(tried, key)
	case Hash:
		s = g.byKey(tried, key)
	case Random:
		s = g.byWeight(tried, rand.IntN(max(1, g.weight())))
	}
	if s != nil {
		s.active++
		g.mu.Unlock()
		return s, nil
	}
	g.mu.Unlock()
	return g.Next(tried)
}

func (g *Group) weight() (total int) {
	for _, s := range g.servers {
		if !s.Backup && !s.Down {
			total += s.Weight
		}
	}
	return total
}

// byWeight is the server at place w of all weights in a row; nil: it is out.
func (g *Group) byWeight(tried map[*Server]bool, w int) *Server {
	for _, s := range g.servers {
		if s.Backup || s.Down {
			continue
		}
		if w -= s.Weight; w < 0 {
			if !tried[s] && g.live(s) {
				return s
			}
			return nil
		}
	}
	return nil
}

func (g *Group) byNetwork(tried map[*Server]bool, key string) *Server {
	a, err := netip.ParseAddr(key)
	if err != nil || g.weight() == 0 {
		return nil
	}
	bytes := a.AsSlice()
	if a.Is4() { // hosts of a network of 256 go together
		bytes = bytes[:3]
	}
	h := 89
	for range maxRehash {
		for _, b := range bytes {
			h = (h*113 + int(b)) % 6271
		}
		if s := g.byWeight(tried, h%g.weight()); s != nil {
			return s
		}
	}
	return nil
}

func (g *Group) byKey(tried map[*Server]bool, key string) *Server {
	if g.weight() == 0 {
		return nil
	}
	sum := 0
	for n := range maxRehash {
		text := key
		if n > 0 {
			text = strconv.Itoa(n) + key
		}
		sum += int(crc32.ChecksumIEEE([]byte(text)) >> 16 & 0x7fff)
		if s := g.byWeight(tried, sum%g.weight()); s != nil {
			return s
		}
	}
	return nil
}
