package limit

import "sync"

// Connections is a zone of limit_conn_zone: how many requests of each key are being answered.
type Connections struct {
	Name string
	*counts
}

type counts struct {
	mu     sync.Mutex
	memory memory
	keys   map[string]int
}

// NewConnections makes a zone of so many bytes.
func NewConnections(name string, size int64) *Connections {
	return &Connections{name, &counts{memory: memory{size: size, state: 64}, keys: map[string]int{}}}
}

// Take counts one more; false: there are as many as may be, or the zone's memory is out.
func (z *Connections) Take(key string, most int) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	n := z.keys[key]
	if n >= most || n == 0 && !z.memory.take(key) {
		return false
	}
	z.keys[key] = n + 1
	return true
}

// Give counts one less.
func (z *Connections) Give(key string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.keys[key]--; z.keys[key] == 0 {
		delete(z.keys, key)
		z.memory.give(key)
	}
}

// Resume goes on with the counts of the zone that a reload has replaced by this one, if their sizes are the same.
func (z *Connections) Resume(old *Connections) {
	if z.memory.size == old.memory.size {
		z.counts = old.counts
	}
}
