package matrix

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/trial"
)

// Servers is the configuration that all personalities of a table share; empty fields take each stack's defaults.
type Servers struct {
	Host         string // the name that browsers ask for; default www.example.test
	Protocols    []string
	Ciphers      string // OpenSSL's language
	PreferServer bool
	// Config is a file in nginx's syntax, or the TOML of an edge, or builtin:NAME: what it says about TLS holds, and
	// the fields above are laid over it where they are given. Set lays directives over it too.
	Config string
	Set    map[string]string
	Key    string // of the certificate: rsa-2048 (also if empty), ecdsa-p256, or both
}

// DefaultHost is the name that browsers ask for.
const DefaultHost = "www.example.test"

// prepare checks the configuration with every stack and gives a maker of servers for each: a server belongs to one
// goroutine. A stack that cannot play it is told to skip, as long as another can; without skip it is an error.
func (s Servers) prepare(stacks []*stack.Stack, skip func(stack string, why error)) (makers []func() (*trial.Server, error), err error) {
	if s.Host == "" {
		s.Host = DefaultHost
	}
	authority, err := trial.NewAuthority(s.Host)
	if err != nil {
		return nil, err
	}
	var certs []*engine.Certificate
	switch s.Key {
	case "", "rsa-2048":
		certs = []*engine.Certificate{authority.RSA}
	case "ecdsa-p256":
		certs = []*engine.Certificate{authority.ECDSA}
	case "both":
		certs = []*engine.Certificate{authority.ECDSA, authority.RSA}
	default:
		return nil, inputf("key %q is not known; allowed: rsa-2048, ecdsa-p256, both", s.Key)
	}
	options := func() trial.ServerOptions {
		return trial.ServerOptions{Host: s.Host, Protocols: s.Protocols, Ciphers: s.Ciphers, PreferServer: s.PreferServer, Certificates: certs,
			Expired: authority.Expired, Verifier: authority.Verifier()}
	}
	standIn := ""
	if s.Config != "" || len(s.Set) > 0 {
		file, err := writeStandIn()
		if err != nil {
			return nil, err
		}
		defer file.Close()
		standIn = file.Path()
	}
	left := map[string]error{}
	for _, st := range stacks {
		maker := func() (*trial.Server, error) { return trial.NewServer(st, options()) }
		if standIn != "" {
			cfg, err := s.load(st, standIn, certs)
			maker = func() (*trial.Server, error) {
				if err != nil {
					return nil, err
				}
				return trial.FromConfig(cfg, options())
			}
		}
		if _, err := maker(); err != nil {
			var input *InputError
			if !errors.As(err, &input) {
				err = inputf("%v", err)
			}
			if left[st.Name] = err; skip == nil || len(left) == len(stacks) {
				return nil, err
			}
			continue
		}
		makers = append(makers, maker)
	}
	for _, st := range stacks {
		if err := left[st.Name]; err != nil {
			skip(st.Name, err)
		}
	}
	return makers, nil
}

// load reads the configuration as the stack's, with our certificates in place of those it names: their keys are
// elsewhere, and browsers in memory trust ours.
func (s Servers) load(st *stack.Stack, standIn string, certs []*engine.Certificate) (*proxy.Config, error) {
	cfg, err := proxy.Load(proxy.Options{Source: s.Config, Stack: st.Name, Certificate: standIn, Key: standIn, Ciphers: s.Ciphers,
		Protocols: s.Protocols, Set: s.Set})
	if err != nil {
		return nil, inputf("%v", plain(err))
	}
	for _, l := range cfg.Listeners {
		// A trial speaks HTTP/1.1: what is asked over TLS does not change what becomes of the handshake.
		l.HTTP2 = false
		for _, vs := range l.Servers {
			if vs.TLS != nil {
				vs.TLS.Certificates = certs
				vs.TLS.PreferServer = vs.TLS.PreferServer || s.PreferServer
			}
		}
	}
	return cfg, nil
}

// plain drops what stands before a path that the message names already.
func plain(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe
	}
	return err
}

// writeStandIn makes a certificate with its key, so that a configuration can be read whose own files are not
// here. It is never served.
func writeStandIn() (*trial.MemoryFile, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return trial.NewMemoryFile("stand-in", text)
}
