package engine_test

import (
	"crypto"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// What real servers answered to the hellos of sixty browsers, in testdata/reference: facts measured on
// nginx with OpenSSL of five ages. The personality must give the same answer to each, by its rules: no
// answer is keyed by a hello.

const seedCiphers = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384:" +
	"DHE-RSA-AES128-GCM-SHA256:DHE-DSS-AES128-GCM-SHA256:kEDH+AESGCM:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:" +
	"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:DHE-RSA-AES128-SHA256:" +
	"DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA256:DHE-RSA-AES256-SHA256:DHE-DSS-AES256-SHA:DHE-RSA-AES256-SHA:AES128-GCM-SHA256:AES256-GCM-SHA384:" +
	"AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA:AES:CAMELLIA:DES-CBC3-SHA:!aNULL:!eNULL:!EXPORT:!DES:!RC4:!MD5:!PSK:!aECDH:" +
	"!EDH-DSS-DES-CBC3-SHA:!EDH-RSA-DES-CBC3-SHA:!KRB5-DES-CBC3-SHA"

// The five servers, as the reference's README describes their configuration.
var referenceServers = []struct {
	name, stack, ciphers string
	versions             engine.VersionSet
	clientOrder          bool
	npn                  []string
	groups               []wire.Group
	dhBits               int
}{
	{name: "nginx-1.6.2-openssl-0.9.8e-tls10", stack: "openssl-0.9.8e",
		ciphers:  "AES128-SHA:AES256-SHA:DES-CBC3-SHA:RC4-SHA:!aNULL:!eNULL:!EXPORT",
		versions: engine.Versions(wire.TLS10), npn: []string{"http/1.1"}, dhBits: 1024},
	{name: "nginx-1.6.2-openssl-0.9.8zc-tls10", stack: "openssl-0.9.8zc", ciphers: seedCiphers,
		versions: engine.Versions(wire.TLS10), npn: []string{"http/1.1"}, groups: []wire.Group{wire.Secp256r1}, dhBits: 1024},
	{name: "nginx-1.6.2-openssl-1.0.2-seedconf", stack: "openssl-1.0.2", ciphers: seedCiphers,
		versions: engine.Versions(wire.TLS10, wire.TLS11, wire.TLS12), npn: []string{"http/1.1"}, groups: []wire.Group{wire.Secp256r1}, dhBits: 1024},
	{name: "nginx-1.22.1-openssl-3.0-seedconf-seclevel0", stack: "openssl-3.0", ciphers: seedCiphers + ":@SECLEVEL=0",
		versions: engine.Versions(wire.TLS10, wire.TLS11, wire.TLS12), groups: []wire.Group{wire.X25519, wire.Secp256r1, wire.Secp521r1, wire.Secp384r1}},
	{name: "nginx-1.22.1-openssl-3.0-default-tls12-13", stack: "openssl-3.0", ciphers: "HIGH:!aNULL:!MD5",
		versions: engine.Versions(wire.TLS12, wire.TLS13), clientOrder: true, groups: []wire.Group{wire.X25519, wire.Secp256r1, wire.Secp521r1, wire.Secp384r1}},
}

func TestReference(t *testing.T) {
	pair, err := tls.LoadX509KeyPair("testdata/rsa.crt", "testdata/rsa.key")
	if err != nil {
		t.Fatal(err)
	}
	cert := &engine.Certificate{Chain: pair.Certificate, Key: pair.PrivateKey.(crypto.Signer)}
	raw := recordedHellos(t)
	for _, srv := range referenceServers {
		st, err := stack.Lookup(srv.stack)
		if err != nil {
			t.Fatal(err)
		}
		list, err := st.Expand(srv.ciphers)
		if err != nil {
			t.Fatal(err)
		}
		cfg := &engine.ServerConfig{
			Certificates: []*engine.Certificate{cert}, Versions: srv.versions, Suites: list.Suites, PreferServer: !srv.clientOrder,
			Groups: srv.groups, DH: keys.DHGroupOf(srv.dhBits), ALPN: []string{"http/1.1"}, NPN: srv.npn, Sessions: noSessions{},
			Tickets: engine.FixedTicketKeys{{}}, SessionLifetime: 5 * time.Minute, Rules: st.Rules, Rand: zeros{}, TicketCount: 2,
		}
		for _, form := range []string{"first", "fallback-scsv-first", "fallback-scsv-last"} {
			t.Run(srv.name+"/"+form, func(t *testing.T) {
				file := filepath.Join("testdata", "reference", srv.name+"."+form+".txt")
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for line := range strings.Lines(string(b)) {
					slug, want, _ := strings.Cut(strings.TrimSpace(line), " ")
					if slug == "#" {
						continue
					}
					n++
					for from, ch := range map[string]*hello.ClientHello{"profile": profileHello(t, slug), "recorded": raw[slug]} {
						if ch == nil {
							continue
						}
						if got := answer(cfg, inForm(ch, form)); got != want {
							t.Errorf("%s (%s)\n answered %s\n the real one %s", slug, from, got, want)
						}
					}
				}
				if n < 37 {
					t.Fatalf("%d answers in %s, expected at least 37", n, file)
				}
			})
		}
	}
}

// inForm lowers the version by one and puts the SCSV before or after the suites.
func inForm(ch *hello.ClientHello, form string) *hello.ClientHello {
	if form == "first" {
		return ch
	}
	ch = ch.Clone()
	ch.Version--
	if form == "fallback-scsv-first" {
		ch.Suites = append([]wire.CipherSuite{wire.FallbackSCSV}, ch.Suites...)
	} else {
		ch.Suites = append(ch.Suites, wire.FallbackSCSV)
	}
	return ch
}

// answer words a server's first answer as testdata/reference does.
func answer(cfg *engine.ServerConfig, ch *hello.ClientHello) string {
	s := engine.NewServer(cfg)
	err := s.Receive(time.Unix(1422705918, 0), ch.AppendRecords(nil))
	out := s.AppendOutput(nil)
	var la *engine.LocalAlert
	if errors.As(err, &la) && la.Silent {
		return "closed"
	}
	h, perr := wire.ParseRecordHeader(out)
	if perr != nil {
		return fmt.Sprintf("nothing (%v)", err)
	}
	body := out[wire.RecordHeaderLen : wire.RecordHeaderLen+h.Length]
	if h.Type == wire.RecordAlert {
		return fmt.Sprintf("alert %d %d record %04x", body[0], body[1], uint16(h.Version))
	}
	sh, perr := wire.ParseServerHello(body[wire.MessageHeaderLen:])
	if perr != nil {
		return perr.Error()
	}
	version := sh.Version
	var exts []string
	for _, e := range sh.Extensions {
		exts = append(exts, fmt.Sprint(uint16(e.Type)))
		if e.Type == wire.ExtSupportedVersions {
			version = wire.Version(uint16(e.Data[0])<<8 | uint16(e.Data[1]))
		}
	}
	if exts == nil {
		exts = []string{"-"}
	}
	hrr := ""
	if sh.IsHelloRetryRequest() {
		hrr = " hrr"
	}
	return fmt.Sprintf("hello %04x suite %04x id %d record %04x extensions %s%s", uint16(version), uint16(sh.Suite), len(sh.SessionID),
		uint16(h.Version), strings.Join(exts, ","), hrr)
}

// profileHello is the hello that our own profile of that browser builds.
func profileHello(t *testing.T, slug string) *hello.ClientHello {
	pr, err := profiles.Lookup(slug)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := pr.Hello(&profiles.HelloParams{ServerName: "www.example.test", Random: zeros{}, Shares: shareOf, Now: time.Unix(1422705918, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func shareOf(g wire.Group) []byte {
	if s, err := keys.GenerateShare(g, zeros{}); err == nil {
		return s.Public()
	}
	return make([]byte, 32)
}

// recordedHellos reads the captured bytes, which stand beside the checkout and not in it. They must be
// there where TLSURGE_REQUIRE is set.
func recordedHellos(t *testing.T) map[string]*hello.ClientHello {
	b, err := os.ReadFile("../../../shared/browsers/hellos.json")
	if err != nil {
		if os.Getenv("TLSURGE_REQUIRE") != "" {
			t.Fatalf("TLSURGE_REQUIRE is set: %v", err)
		}
		t.Log("recorded hellos are not beside the checkout; our profiles stand for them alone")
		return nil
	}
	var entries []struct {
		Slug string
		Raw  string `json:"raw_hex"`
	}
	if err := json.Unmarshal(b, &entries); err != nil {
		t.Fatal(err)
	}
	out := map[string]*hello.ClientHello{}
	for _, e := range entries {
		p, err := hex.DecodeString(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		ch, _, err := hello.Parse(p)
		if err != nil {
			t.Fatalf("%s: %v", e.Slug, err)
		}
		out[e.Slug] = ch
	}
	return out
}

// zeros is a random source for answers whose random bytes nobody looks at.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

type noSessions struct{}

func (noSessions) Get(time.Time, []byte) *engine.Session  { return nil }
func (noSessions) Put(time.Time, []byte, *engine.Session) {}
func (noSessions) Delete([]byte)                          {}
