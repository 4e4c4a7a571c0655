package proxy

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/wire"
)

// certificate is a chain with its key in both forms: the engine's and crypto/tls's.
type certificate struct {
	engine *engine.Certificate
	leaf   *x509.Certificate
}

// loadCertificate reads a PEM chain and its key, and checks that they belong together.
func loadCertificate(certFile, keyFile string) (*certificate, error) {
	chainText, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate: %w", err)
	}
	keyText, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate key: %w", err)
	}
	c := &certificate{engine: &engine.Certificate{}}
	for rest := chainText; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			c.engine.Chain = append(c.engine.Chain, block.Bytes)
		}
	}
	if len(c.engine.Chain) == 0 {
		return nil, fmt.Errorf("cannot load certificate %s: no PEM block CERTIFICATE in it", certFile)
	}
	if c.leaf, err = x509.ParseCertificate(c.engine.Chain[0]); err != nil {
		return nil, fmt.Errorf("cannot load certificate %s: %w", certFile, err)
	}
	if c.engine.Key, err = parseKey(keyText); err != nil {
		return nil, fmt.Errorf("cannot load certificate key %s: %w", keyFile, err)
	}
	have, err := x509.MarshalPKIXPublicKey(c.engine.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate key %s: %w", keyFile, err)
	}
	want, err := x509.MarshalPKIXPublicKey(c.leaf.PublicKey)
	if err != nil || !bytes.Equal(have, want) {
		return nil, fmt.Errorf("the key %s does not belong to the certificate %s (key values mismatch)", keyFile, certFile)
	}
	return c, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no PEM block with a private key in it")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return k, nil
		}
		if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return k, nil
		}
		k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
		return nil, fmt.Errorf("a key of type %T cannot sign", k)
	}
}

// tls compiles the ssl_* directives that hold for a server.
func (c *compiler) tls(d *nginxconf.Directive) (*TLSSettings, error) {
	st := c.cfg.Stack
	t := &TLSSettings{}
	if err := c.certificates(d, t); err != nil {
		return nil, err
	}
	words := c.nearest(d, "ssl_protocols")
	t.Versions = slices.Clone(st.DefaultVersions)
	if words != nil {
		versions, left, err := st.Protocols(words.Args)
		if err != nil {
			return nil, at(words, err)
		}
		t.Versions = versions
		if len(left) > 0 {
			c.warn(words, "%s is not in %s and has no effect", strings.Join(left, " "), st.Name)
		}
	}
	t.CipherString = st.DefaultCiphers
	where := c.nearest(d, "ssl_ciphers")
	if where != nil {
		t.CipherString = where.Args[0]
	}
	list, err := st.Expand(t.CipherString)
	if err != nil {
		return nil, at(where, fmt.Errorf("ssl_ciphers: %w", err))
	}
	t.Suites, t.SecurityLevel = list.Suites, list.SecurityLevel
	c.noteCiphers(where, st, t)
	t.Versions = st.AtLevel(t.Versions, t.SecurityLevel)
	if len(t.Versions) == 0 {
		return nil, at(where, fmt.Errorf("security level %d of %s allows none of the protocols that are enabled", t.SecurityLevel, st.Name))
	}
	if t.PreferServer, err = c.flag(d, "ssl_prefer_server_ciphers", false); err != nil {
		return nil, err
	}
	if t.EarlyData, err = c.flag(d, "ssl_early_data", false); err != nil {
		return nil, err
	}
	if t.Timeout, err = c.duration(d, "ssl_session_timeout", 5*time.Minute); err != nil {
		return nil, err
	}
	if err := c.keyExchange(d, t); err != nil {
		return nil, err
	}
	return t, c.sessions(d, t)
}

// noteCiphers says what a cipher string asks for and does not get here.
func (c *compiler) noteCiphers(d *nginxconf.Directive, st *stack.Stack, t *TLSSettings) {
	if d == nil {
		return
	}
	if strings.Contains(t.CipherString, "@SECLEVEL") && !st.KnowsLevels() {
		c.note(d, "@SECLEVEL is younger than %s and ignored", st.Name)
	}
	if unspoken := st.Unspoken(t.Suites); len(unspoken) > 0 {
		more := ""
		if n := len(unspoken); n > 3 {
			unspoken, more = unspoken[:3], fmt.Sprintf(" and %d more", n-3)
		}
		c.note(d, "ranked as %s does, and never chosen because this engine has not got them: %s%s", st.Name, strings.Join(unspoken, ", "), more)
	}
}

func (c *compiler) note(d *nginxconf.Directive, format string, a ...any) {
	c.cfg.Notes = append(c.cfg.Notes, nginxconf.Warning{File: d.File, Line: d.Line, Text: fmt.Sprintf(format, a...)})
}

func (c *compiler) warn(d *nginxconf.Directive, format string, a ...any) {
	c.cfg.Warnings = append(c.cfg.Warnings, nginxconf.Warning{File: d.File, Line: d.Line, Text: fmt.Sprintf(format, a...)})
}

func (c *compiler) certificates(d *nginxconf.Directive, t *TLSSettings) (err error) {
	if t.Reject, err = c.flag(d, "ssl_reject_handshake", false); err != nil {
		return err
	}
	pairs := func(name string) []*nginxconf.Directive {
		if found := nginxconf.Find(d.Block, name); len(found) > 0 {
			return found
		}
		return nginxconf.Find(c.http.Block, name)
	}
	certs, keys := pairs("ssl_certificate"), pairs("ssl_certificate_key")
	if len(certs) != len(keys) {
		return fmt.Errorf("%d ssl_certificate and %d ssl_certificate_key: they come in pairs", len(certs), len(keys))
	}
	for i := range certs {
		id := certs[i].Args[0] + "\x00" + keys[i].Args[0]
		if c.certs[id] == nil {
			if c.certs[id], err = loadCertificate(certs[i].Args[0], keys[i].Args[0]); err != nil {
				return at(certs[i], err)
			}
		}
		t.Certificates = append(t.Certificates, c.certs[id].engine)
	}
	return nil
}

// keyExchange is ssl_ecdh_curve and ssl_dhparam.
func (c *compiler) keyExchange(d *nginxconf.Directive, t *TLSSettings) error {
	st := c.cfg.Stack
	curve := st.DefaultCurve
	where := c.nearest(d, "ssl_ecdh_curve")
	if where != nil {
		curve = where.Args[0]
	}
	if curve == "auto" {
		t.Groups = st.Groups
	} else {
		for _, name := range strings.Split(curve, ":") {
			g, ok := stack.GroupNamed(name)
			if !ok {
				return at(where, fmt.Errorf("ssl_ecdh_curve %q: allowed are prime256v1, secp384r1, secp521r1, X25519 and auto", name))
			}
			if slices.Contains(st.Groups, g) {
				t.Groups = append(t.Groups, g)
			} else if where != nil {
				c.warn(where, "curve %q is not in %s and has no effect", name, st.Name)
			}
		}
	}
	t.DH = keys.DHGroupOf(st.DHBits)
	dh := c.nearest(d, "ssl_dhparam")
	if dh == nil {
		return nil
	}
	group, err := readDHParam(dh.Args[0])
	if err != nil {
		return at(dh, err)
	}
	t.DH = group
	return nil
}

// sessions is ssl_session_cache, ssl_session_tickets and ssl_session_ticket_key.
func (c *compiler) sessions(d *nginxconf.Directive, t *TLSSettings) error {
	t.SessionCache = CacheSettings{Mode: "none"}
	if s := c.nearest(d, "ssl_session_cache"); s != nil {
		if err := t.SessionCache.parse(s.Args); err != nil {
			return at(s, err)
		}
	}
	tickets, err := c.flag(d, "ssl_session_tickets", true)
	if err != nil {
		return err
	}
	t.Tickets = tickets && c.cfg.Stack.Tickets
	files := nginxconf.Find(d.Block, "ssl_session_ticket_key")
	if len(files) == 0 {
		files = nginxconf.Find(c.http.Block, "ssl_session_ticket_key")
	}
	for _, f := range files {
		text, err := os.ReadFile(f.Args[0])
		if err != nil {
			return at(f, err)
		}
		k, ok := ticketKeyFromFile(text)
		if !ok {
			return at(f, fmt.Errorf("ssl_session_ticket_key %s: %d bytes; a key has 48", f.Args[0], len(text)))
		}
		t.TicketKeys = append(t.TicketKeys, k)
	}
	return nil
}

// parse reads "off", "none", "builtin[:n]" and "shared:NAME:SIZE".
func (s *CacheSettings) parse(args []string) error {
	for _, a := range args {
		kind, rest, _ := strings.Cut(a, ":")
		switch kind {
		case "off", "none":
			s.Mode = kind
		case "builtin":
			if s.Mode != "shared" {
				s.Mode, s.Bytes = "builtin", builtinSessions*sessionBytes
				if rest != "" {
					n, err := strconv.Atoi(rest)
					if err != nil || n < 1 {
						return fmt.Errorf("ssl_session_cache %q: builtin:NUMBER", a)
					}
					s.Bytes = int64(n) * sessionBytes
				}
			}
		case "shared":
			name, size, ok := strings.Cut(rest, ":")
			n, err := site.Size(size)
			if !ok || name == "" || err != nil || n < 8<<10 {
				return fmt.Errorf("ssl_session_cache %q: shared:NAME:SIZE, 8k or more", a)
			}
			s.Mode, s.Name, s.Bytes = "shared", name, n
		default:
			return fmt.Errorf("ssl_session_cache %q: allowed are off, none, builtin[:n], shared:NAME:SIZE", a)
		}
	}
	return nil
}

// Engine is what the settings say to the engine of a stack, without the stores, keys and randomness that
// only an edge that runs has.
func (t *TLSSettings) Engine(st *stack.Stack, h2 bool) *engine.ServerConfig {
	cfg := &engine.ServerConfig{
		Certificates: t.Certificates, Versions: engine.Versions(t.Versions...), Suites: t.Suites, PreferServer: t.PreferServer,
		Groups: t.Groups, DH: t.DH, ALPN: st.ALPN, ALPNStrict: st.Nginx.ALPNStrict, NPN: st.NPN, SessionLifetime: t.Timeout, TicketCount: 2,
		Rules: st.RulesAt(t.SecurityLevel), Renegotiate: st.Nginx.Renegotiate,
	}
	if h2 && len(st.ALPN) > 0 {
		cfg.ALPN = append([]string{"h2"}, st.ALPN...)
	}
	if t.EarlyData {
		cfg.MaxEarlyData = 16 << 10
	}
	cfg.IssueID = t.SessionCache.Mode == "none"
	return cfg
}

// engineConfig makes the engine's configuration of one virtual server.
func (s *Server) engineConfig(t *TLSSettings, h2 bool) *engine.ServerConfig {
	cfg := t.Engine(s.stack, h2)
	cfg.Rand, cfg.KeyLog = s.rand, s.keyLog
	if t.SessionCache.Stores() {
		cfg.Sessions = s.cache(t)
	}
	if t.Tickets {
		cfg.Tickets = s.ticketKeys(t)
	}
	return cfg
}

// goConfig is the same for the stack "go".
func (s *Server) goConfig(t *TLSSettings, h2 bool) *tls.Config {
	cfg := &tls.Config{SessionTicketsDisabled: !t.Tickets, NextProtos: []string{"http/1.1"}, MinVersion: uint16(t.Versions[0]),
		MaxVersion: uint16(t.Versions[len(t.Versions)-1])}
	if h2 {
		cfg.NextProtos = []string{"h2", "http/1.1"}
	}
	for _, c := range t.Certificates {
		cfg.Certificates = append(cfg.Certificates, tls.Certificate{Certificate: c.Chain, PrivateKey: c.Key})
	}
	for _, id := range t.Suites {
		if goKnows(id) {
			cfg.CipherSuites = append(cfg.CipherSuites, uint16(id))
		}
	}
	for _, g := range t.Groups {
		cfg.CurvePreferences = append(cfg.CurvePreferences, tls.CurveID(g))
	}
	return cfg
}

func goKnows(id wire.CipherSuite) bool {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if s.ID == uint16(id) {
			return true
		}
	}
	return false
}
