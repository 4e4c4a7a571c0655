package interop

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Extensions of TLS 1.2 and below, and hellos older than extensions, with real peers.

// staple is an OCSP response for the ECDSA leaf, by its own key: nobody here asks who may sign.
func staple(t *testing.T) []byte {
	t.Helper()
	a := pki()
	now := time.Now()
	der, err := ocsp.CreateResponse(a.ca, a.ca, ocsp.Response{Status: ocsp.Good, SerialNumber: a.ca.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour),
		IssuerHash: crypto.SHA1}, a.ecdsa.engine.Key.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// timestamps is a SignedCertificateTimestampList of one, which says nothing.
func timestamps(sct []byte) []byte { return wire.AppendVec16(nil, wire.AppendVec16(nil, sct)) }

func withExtensions(exts ...hello.Extension) func(*engine.ClientConfig, *hello.ClientHello) {
	return func(_ *engine.ClientConfig, ch *hello.ClientHello) { ch.Extensions = append(ch.Extensions, exts...) }
}

// TestStaplingAndTimestamps: s_client reads the OCSP response and the SCTs that our server sends, our client those of s_server.
func TestStaplingAndTimestamps(t *testing.T) {
	need(t, "openssl")
	response, sct := staple(t), []byte("a timestamp that nobody reads")
	dir := t.TempDir()
	statusFile, infoFile := filepath.Join(dir, "ocsp.der"), filepath.Join(dir, "serverinfo.pem")
	list := timestamps(sct)
	info := wire.AppendVec16(wire.AppendU16(nil, uint16(wire.ExtSCT)), list)
	for file, b := range map[string][]byte{statusFile: response, infoFile: pem.EncodeToMemory(&pem.Block{Type: "SERVERINFO FOR SCT", Bytes: info})} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for flag, v := range map[string]wire.Version{"-tls1_2": wire.TLS12, "-tls1_3": wire.TLS13} {
		t.Run("our server "+flag, func(t *testing.T) {
			c := cell12
			if v == wire.TLS13 {
				c.version, c.suite = v, wire.TLS_AES_128_GCM_SHA256
			}
			cfg := serverConfig(c)
			cert := *cfg.Certificates[0]
			cert.OCSP, cert.SCTs = response, [][]byte{sct}
			cfg.Certificates = []*engine.Certificate{&cert}
			s, err := serve(cfg, false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.stop()
			args := []string{"s_client", "-connect", s.addr, "-servername", serverName, "-status", flag, "-ign_eof"}
			if v == wire.TLS12 {
				args = append(args, "-serverinfo", "18")
			}
			out, err := runTool(t, request, nil, "openssl", args...)
			if err != nil || !strings.Contains(out, "OCSP Response Status: successful") || !strings.Contains(out, "Cert Status: good") {
				t.Errorf("%v\n%s", err, out)
			}
			if v == wire.TLS12 {
				p, _ := pem.Decode([]byte(out[max(0, strings.Index(out, "-----BEGIN SERVERINFO")):]))
				if p == nil || !bytes.Equal(p.Bytes, info) {
					t.Errorf("s_client read other SCTs:\n%s", out)
				}
			}
		})
		t.Run("s_server "+flag, func(t *testing.T) {
			_, addr := typedServer(t, flag, "-status_file", statusFile, "-serverinfo", infoFile)
			o := offer{max: v, suites: ecdsa12, groups: []wire.Group{wire.X25519, wire.Secp256r1}}
			if v == wire.TLS13 {
				o.suites = []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256}
			}
			l := meetAs(t, addr, o, withExtensions(hello.Extension{Type: wire.ExtStatusRequest, Data: []byte{1, 0, 0, 0, 0}}, hello.Extension{Type: wire.ExtSCT}))
			if !bytes.Equal(l.c.Facts().Stapled, response) {
				t.Errorf("stapled: %d bytes, s_server has %d", len(l.c.Facts().Stapled), len(response))
			}
		})
	}
}

// TestNextProtocol: next_protocol_negotiation with OpenSSL, which still has it, on either side.
func TestNextProtocol(t *testing.T) {
	need(t, "openssl")
	t.Run("our server", func(t *testing.T) {
		cfg := serverConfig(cell12)
		cfg.ALPN, cfg.NPN = nil, []string{"spdy/3", "http/1.1"}
		s, err := serve(cfg, false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		out, err := runTool(t, request, nil, "openssl", "s_client", "-connect", s.addr, "-servername", serverName, "-tls1_2", "-nextprotoneg", "http/1.1", "-ign_eof")
		if err != nil || !strings.Contains(out, "Next protocol: (1) http/1.1") || !strings.Contains(out, "200 OK") {
			t.Errorf("%v\n%s", err, out)
		}
		if r, err := s.next(); err != nil || r.err != nil || r.facts.NPN != "http/1.1" {
			t.Errorf("our server came to NPN %q: %v, %v", r.facts.NPN, err, r.err)
		}
	})
	for ours, want := range map[string]string{"http/1.1": "http/1.1", "spdy/2": "spdy/2"} { // the second is not on the list, and said all the same
		t.Run("s_server, "+ours, func(t *testing.T) {
			s, addr := typedServer(t, "-tls1_2", "-nextprotoneg", "spdy/3,http/1.1")
			o := offer{max: wire.TLS12, suites: ecdsa12, groups: []wire.Group{wire.X25519, wire.Secp256r1}}
			l := meetAs(t, addr, o, func(cfg *engine.ClientConfig, ch *hello.ClientHello) {
				cfg.NPN = []string{ours}
				ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtNextProtoNegotiation})
			})
			if got := l.c.Facts().NPN; got != want {
				t.Errorf("NPN %q, wanted %q", got, want)
			}
			s.after(t, "NEXTPROTO is "+want)
		})
	}
}

// TestFalseStartWithServers: the request goes out before the server's Finished is in, and is answered.
func TestFalseStartWithServers(t *testing.T) {
	need(t, "openssl", "nginx")
	for name, start := range map[string]func(testing.TB, *identity, bool) string{"s_server": startOpenSSL, "nginx": startNginx} {
		t.Run(name, func(t *testing.T) {
			o := offer{max: wire.TLS12, suites: ecdsa12[:1], groups: []wire.Group{wire.X25519, wire.Secp256r1}, alpn: []string{"http/1.1"}}
			cfg, ch, err := o.build(seeded(6), &engine.Verifier{Roots: pki().roots})
			if err != nil {
				t.Fatal(err)
			}
			cfg.FalseStart = true
			answer, facts, err := falseStart(start(t, &pki().ecdsa, false), cfg, ch)
			if err != nil || !facts.FalseStart || answer == "" {
				t.Errorf("false start %v, answer %q, %v", facts.FalseStart, answer, err)
			}
		})
	}
}

// falseStart sends the request as soon as the engine takes it, which must be before the handshake is done.
func falseStart(addr string, cfg *engine.ClientConfig, ch *hello.ClientHello) (string, engine.Facts, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", engine.Facts{}, err
	}
	defer nc.Close()
	c, err := engine.NewClient(cfg, ch)
	if err != nil {
		return "", engine.Facts{}, err
	}
	l := newLink(nc, c)
	for !c.Established() {
		if err := errors.Join(l.flush(), l.readOnce()); err != nil { // what it answers waits for the request
			return "", *c.Facts(), err
		}
	}
	if c.HandshakeDone() {
		return "", *c.Facts(), errors.New("the handshake was over before data could go out")
	}
	answer, err := l.get()
	return answer, *c.Facts(), err
}

// TestSSLv2FormatHello: Java 6's hello in the format of SSL 2.0, which OpenSSL's servers still read. (NSS's read it only where its
// caller asks for that, which selfserv does not; Internet Explorer 6 wants SSL 3.0, which OpenSSL has no more.)
func TestSSLv2FormatHello(t *testing.T) {
	need(t, "openssl")
	p, err := profiles.Lookup("java-6u45")
	if err != nil {
		t.Fatal(err)
	}
	d := visit(startOpenSSL(t, &pki().rsa, false), p, nil)
	if d.err != nil || d.facts.Version != wire.TLS10 || d.answer == "" {
		t.Errorf("%s, %d bytes of answer: %v", describe(&d.facts), len(d.answer), d.err)
	}
}
