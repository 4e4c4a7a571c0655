// Package stack holds the TLS libraries that an edge can stand for, as data: which versions and suites they
// know, their default cipher string, Diffie-Hellman parameters and curve, how they expand a cipher string,
// what they put on the error queue, and at which level the nginx of their time logged that.
//
// The data are rules of the library, never answers keyed by a ClientHello. It opens no socket; the rules
// that the handshake itself follows are package engine's (see Stack.Rules).
package stack

import (
	"fmt"
	"strings"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// era orders the releases of OpenSSL by what their cipher list and error queue look like.
type era int

const (
	era098 era = iota + 1
	era100
	era101
	era102
	era110
	era111
	era30
)

// Stack is one TLS library with the nginx that was built on it.
type Stack struct {
	Name string
	// OpenSSL and Nginx are the releases stood for ("0.9.8zc", "1.6.2").
	OpenSSL string
	Nginx   Nginx
	// Library is false for the stack "go": real crypto/tls instead of our engine.
	Library bool

	// Versions it can speak, lowest first, and those that nginx of the time enables without ssl_protocols.
	Versions        []wire.Version
	DefaultVersions []wire.Version
	// DefaultCiphers is nginx's ssl_ciphers when the configuration has none.
	DefaultCiphers string
	// DefaultCurve is ssl_ecdh_curve's default; "auto" is the library's own list (Groups).
	DefaultCurve string
	// Groups it can use in key exchange, in its order of preference.
	Groups []wire.Group
	// DHBits is the size of the Diffie-Hellman parameters used without ssl_dhparam; 0 is none, so no DHE.
	DHBits int
	// SecurityLevel is @SECLEVEL when the cipher string names none; libraries before 1.1.0 know no level.
	SecurityLevel int
	// ServerName says whether the build knows the server_name extension ("TLS SNI support enabled").
	ServerName bool
	// Tickets says whether the build knows session tickets.
	Tickets bool
	// ALPN and NPN are what nginx of the time offers on this library for a listener without HTTP/2.
	ALPN, NPN []string
	// ResetOnSSLv2: the library refuses an SSLv2-format hello after its first bytes, and the close with the
	// rest unread becomes a reset (before 1.1.0).
	ResetOnSSLv2 bool
	// Rules is how the library's server answers a ClientHello.
	Rules engine.Rules

	era era
}

// Nginx is what depends on nginx's release and not on the library.
type Nginx struct {
	Release string
	// DrainQuietly: connections taken from the reusable queue leave no line in the log (before 1.19.2).
	DrainQuietly bool
	// DrainAt is the share of the connection table that must be left free: below it reusable connections are
	// closed before the table is full (1.19.2 on: a sixteenth); 0 is only when it is full.
	DrainAt float64
	// ALPNStrict refuses a hello whose protocols are all unknown (1.21.4 on); before, it was answered without one.
	ALPNStrict bool
	// Renegotiate is what a client gets that asks for a second handshake: from 1.15.2 on the library's warning, before
	// a close without a word.
	Renegotiate engine.Renegotiate
	// KeepaliveRequests is keepalive_requests' default.
	KeepaliveRequests int
	// levels is the reason -> level rule of ngx_ssl_connection_error in this release.
	levels func(reason int) string
}

var (
	nginx162  = Nginx{Release: "1.6.2", DrainQuietly: true, Renegotiate: engine.RenegotiateClose, KeepaliveRequests: 100, levels: level162}
	nginx1221 = Nginx{Release: "1.22.1", DrainAt: 1.0 / 16, ALPNStrict: true, Renegotiate: engine.RenegotiateRefuse, KeepaliveRequests: 1000, levels: level1221}
)

var (
	tls10to12 = []wire.Version{wire.TLS10, wire.TLS11, wire.TLS12}
	tls10to13 = []wire.Version{wire.TLS10, wire.TLS11, wire.TLS12, wire.TLS13}
	nist      = []wire.Group{wire.Secp256r1, wire.Secp384r1, wire.Secp521r1}
	modern    = []wire.Group{wire.X25519, wire.Secp256r1, wire.Secp521r1, wire.Secp384r1}
)

var (
	modernALPN = []string{"http/1.1", "http/1.0", "http/0.9"}
)

// The default ssl_ciphers of nginx 1.0.5 to today.
const nginxCiphers = "HIGH:!aNULL:!MD5"

// stacks is every stack, oldest first. A new one is a row here, and rows in suites.go and queue.go where its
// library differs from its neighbours.
var stacks = []*Stack{
	{
		Name: "openssl-0.9.8e", OpenSSL: "0.9.8e", Nginx: nginx162, Library: true, era: era098,
		Versions: []wire.Version{wire.TLS10}, DefaultVersions: []wire.Version{wire.TLS10},
		DefaultCiphers: nginxCiphers, DefaultCurve: "prime256v1", DHBits: 1024,
		ResetOnSSLv2: true,
		Rules:        engine.RulesOpenSSL098e(),
	},
	{
		Name: "openssl-0.9.8zc", OpenSSL: "0.9.8zc", Nginx: nginx162, Library: true, era: era098,
		Versions: []wire.Version{wire.TLS10}, DefaultVersions: []wire.Version{wire.TLS10},
		DefaultCiphers: nginxCiphers, DefaultCurve: "prime256v1", Groups: nist, DHBits: 1024,
		ServerName: true, Tickets: true,
		ResetOnSSLv2: true,
		Rules:        engine.RulesOpenSSL098zc(),
	},
	{
		Name: "openssl-1.0.1j", OpenSSL: "1.0.1j", Nginx: nginx162, Library: true, era: era101,
		Versions: tls10to12, DefaultVersions: tls10to12,
		DefaultCiphers: nginxCiphers, DefaultCurve: "prime256v1", Groups: nist, DHBits: 1024,
		ServerName: true, Tickets: true, NPN: []string{"http/1.1"},
		ResetOnSSLv2: true,
		Rules:        engine.RulesOpenSSL101j(),
	},
	{
		Name: "openssl-1.0.2", OpenSSL: "1.0.2", Nginx: nginx162, Library: true, era: era102,
		Versions: tls10to12, DefaultVersions: tls10to12,
		DefaultCiphers: nginxCiphers, DefaultCurve: "prime256v1", Groups: nist, DHBits: 1024,
		ServerName: true, Tickets: true, ALPN: []string{"http/1.1"}, NPN: []string{"http/1.1"},
		ResetOnSSLv2: true,
		Rules:        engine.RulesOpenSSL102(),
	},
	{
		Name: "openssl-1.1.1", OpenSSL: "1.1.1", Nginx: nginx1221, Library: true, era: era111,
		Versions: tls10to13, DefaultVersions: tls10to12,
		DefaultCiphers: nginxCiphers, DefaultCurve: "auto", Groups: modern, SecurityLevel: 1,
		ServerName: true, Tickets: true, ALPN: modernALPN,
		Rules: engine.RulesOpenSSL111(),
	},
	{
		Name: "openssl-3.0", OpenSSL: "3.0", Nginx: nginx1221, Library: true, era: era30,
		Versions: tls10to13, DefaultVersions: tls10to12,
		DefaultCiphers: nginxCiphers, DefaultCurve: "auto", Groups: modern, SecurityLevel: 2,
		ServerName: true, Tickets: true, ALPN: modernALPN,
		Rules: engine.RulesOpenSSL30(),
	},
	{
		Name: "go", OpenSSL: "crypto/tls", Nginx: nginx1221, era: era30,
		Versions: tls10to13, DefaultVersions: []wire.Version{wire.TLS12, wire.TLS13},
		DefaultCiphers: nginxCiphers, DefaultCurve: "auto", Groups: modern, SecurityLevel: 1,
		ServerName: true, Tickets: true,
	},
}

// Default is the stack of an edge that names none.
const Default = "openssl-3.0"

// Names lists the stacks, oldest first.
func Names() []string {
	names := make([]string, len(stacks))
	for i, s := range stacks {
		names[i] = s.Name
	}
	return names
}

// Lookup finds a stack by name; the error lists those there are.
func Lookup(name string) (*Stack, error) {
	for _, s := range stacks {
		if s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("unknown stack %q: the stacks are %s", name, strings.Join(Names(), ", "))
}

// Speaks says whether the library knows v at all.
func (s *Stack) Speaks(v wire.Version) bool {
	for _, have := range s.Versions {
		if have == v {
			return true
		}
	}
	return false
}

// protocolNames are the words of ssl_protocols.
var protocolNames = []struct {
	name    string
	version wire.Version
}{
	{"SSLv2", wire.SSL20}, {"SSLv3", wire.SSL30}, {"TLSv1", wire.TLS10},
	{"TLSv1.1", wire.TLS11}, {"TLSv1.2", wire.TLS12}, {"TLSv1.3", wire.TLS13},
}

// Protocols turns the words of ssl_protocols into versions that this stack speaks, lowest first. Words that
// nginx knows and the library does not are in left: nginx ignores them in silence, and a caller may warn.
func (s *Stack) Protocols(words []string) (versions []wire.Version, left []string, err error) {
	asked := map[wire.Version]bool{}
words:
	for _, w := range words {
		for _, p := range protocolNames {
			if p.name == w {
				if !s.Speaks(p.version) {
					left = append(left, w)
				}
				asked[p.version] = true
				continue words
			}
		}
		return nil, nil, fmt.Errorf("unknown protocol %q: ssl_protocols knows SSLv2, SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3", w)
	}
	for _, v := range s.Versions {
		if asked[v] {
			versions = append(versions, v)
		}
	}
	if len(versions) == 0 {
		return nil, left, fmt.Errorf("none of the protocols %s is spoken by %s", strings.Join(words, " "), s.Name)
	}
	return versions, left, nil
}

// ProtocolName gives nginx's word for a version ("TLSv1.2"), as in $ssl_protocol.
func ProtocolName(v wire.Version) string {
	for _, p := range protocolNames {
		if p.version == v {
			return p.name
		}
	}
	return v.String()
}

// GroupNamed finds a group by OpenSSL's name ("prime256v1").
func GroupNamed(name string) (wire.Group, bool) {
	switch name {
	case "prime256v1", "P-256", "secp256r1":
		return wire.Secp256r1, true
	case "secp384r1", "P-384":
		return wire.Secp384r1, true
	case "secp521r1", "P-521":
		return wire.Secp521r1, true
	case "X25519", "x25519":
		return wire.X25519, true
	}
	return 0, false
}

// KnowsLevels says whether the library has security levels (@SECLEVEL): those from 1.1.0 on.
func (s *Stack) KnowsLevels() bool { return s.era >= era110 }

// Unspoken names the suites of a list that our engine ranks and passes over: Camellia, DSS and others that the standard
// library has no primitives for. Suites by PSK and SRP, which nginx cannot be told the secrets of, are no loss.
func (s *Stack) Unspoken(list []wire.CipherSuite) (names []string) {
	if !s.Library {
		return nil
	}
	for _, id := range list {
		if n := Name(id); keys.Lookup12(id) == nil && !strings.Contains(n, "PSK") && !strings.Contains(n, "SRP") {
			names = append(names, n)
		}
	}
	return names
}

// RulesAt gives the rules with what a security level adds: from level 1 on 3.0 signs nothing with SHA-1.
func (s *Stack) RulesAt(level int) engine.Rules {
	r := s.Rules
	r.NoSHA1 = s.era >= era30 && level >= 1
	return r
}

// AtLevel leaves out the versions that the security level refuses (SSL_CTX_set_security_level(3)). That 3.0 speaks
// TLS 1.0 and 1.1 at level 0 alone is another matter: it chooses them, and then finds nothing to sign with (RulesAt).
func (s *Stack) AtLevel(versions []wire.Version, level int) []wire.Version {
	lowest := wire.SSL30
	switch {
	case s.era >= era110 && level >= 4:
		lowest = wire.TLS12
	case s.era >= era110 && level >= 3:
		lowest = wire.TLS11
	case s.era >= era30 && level >= 1:
		lowest = wire.TLS10
	}
	var out []wire.Version
	for _, v := range versions {
		if v >= lowest {
			out = append(out, v)
		}
	}
	return out
}
