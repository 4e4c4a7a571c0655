package repro

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"sync/atomic"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/trial"
	"tlsurge/profiles"
)

// host is the name that every fleet here goes by.
const host = "www.example.test"

// lab is where recipes are played in memory. Its servers are made once for each setting and worker.
type lab struct {
	authority *trial.Authority
	files     *trial.MemoryFile // certificate and key, for configurations that name some
	seed      uint64

	mu      sync.Mutex
	servers map[string][]*trial.Server // that no worker uses now
	failed  map[string]error           // settings that cannot be
	trials  atomic.Int64
}

func newLab(seed uint64) (*lab, error) {
	a, err := trial.NewAuthority(host)
	if err != nil {
		return nil, err
	}
	l := &lab{authority: a, seed: seed, servers: map[string][]*trial.Server{}, failed: map[string]error{}}
	return l, l.writeCertificate()
}

func (l *lab) close() { l.files.Close() }

// writeCertificate leaves a certificate where configurations can find one: they are read as an edge reads
// them. Handshakes use the authority's own.
func (l *lab) writeCertificate() error {
	key, err := x509.MarshalPKCS8PrivateKey(l.authority.Key())
	if err != nil {
		return err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.authority.RSA.Chain[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	l.files, err = trial.NewMemoryFile("certificate", both)
	return err
}

// take lends a server to one worker.
func (l *lab) take(s Setting) (*trial.Server, error) {
	id := s.id()
	l.mu.Lock()
	if free := l.servers[id]; len(free) > 0 {
		server := free[len(free)-1]
		l.servers[id] = free[:len(free)-1]
		l.mu.Unlock()
		return server, nil
	}
	err := l.failed[id]
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	server, err := l.make(s)
	if err != nil {
		l.mu.Lock()
		l.failed[id] = err
		l.mu.Unlock()
	}
	return server, err
}

func (l *lab) give(s Setting, server *trial.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers[s.id()] = append(l.servers[s.id()], server)
}

func (l *lab) make(s Setting) (*trial.Server, error) {
	cfg, err := proxy.Load(proxy.Options{Source: s.Config, Stack: s.Stack, Set: s.Set, Certificate: l.files.Path(), Key: l.files.Path()})
	if err != nil {
		return nil, err
	}
	cert := l.authority.RSA
	if s.Key == "ecdsa-p256" {
		cert = l.authority.ECDSA
	}
	for _, ln := range cfg.Listeners {
		for _, vs := range ln.Servers {
			if vs.TLS != nil {
				vs.TLS.Certificates = []*engine.Certificate{cert}
			}
		}
	}
	return trial.FromConfig(cfg, trial.ServerOptions{Host: host, Verifier: l.authority.Verifier(), Expired: l.authority.Expired})
}

// readable says why no stack can run a configuration; nil where one can.
func (l *lab) readable(config string) error {
	if config == "" {
		return nil
	}
	var first error
	for _, st := range stack.Names() {
		_, err := l.make(base(config, st))
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return &ConfigError{first}
}

// play plays one visitor against one setting.
func (l *lab) play(server *trial.Server, v Visitor, list []trial.Fault) (trial.Result, error) {
	p, err := profiles.Lookup(v.Profile)
	if err != nil {
		return trial.Result{}, err
	}
	setup := trial.Setup{Profile: p, Server: server, Returning: v.Returning, Seed: l.seed}
	if len(list) > 0 {
		setup.Fault, setup.More = list[0], list[1:]
	}
	return trial.Play(setup)
}

// show is what a visitor comes to in each act.
func (l *lab) show(r Recipe, v Visitor) ([]trial.Result, error) {
	var out []trial.Result
	for _, s := range r.Acts {
		server, err := l.take(s)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", s, err)
		}
		res, err := l.play(server, v, r.Faults)
		l.give(s, server)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	return out, nil
}

// playable says whether every fault of the list can be played in memory.
func playable(list []trial.Fault) bool {
	for _, f := range list {
		if !f.Playable() {
			return false
		}
	}
	return true
}

// counted counts a trial.
func (l *lab) counted() { l.trials.Add(1) }
