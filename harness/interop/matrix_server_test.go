package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// peerClient is one program that connects to our server. run makes the connections of a cell: one, or
// two where the second is to resume; it fails the test if the program did.
type peerClient struct {
	name string
	peer string
	run  func(t *testing.T, addr string, c cell)
	can  func(c cell) bool // what the program can be told to do
}

var peerClients = []peerClient{
	{"openssl s_client", "openssl", runOpenSSL, func(c cell) bool { return true }},
	{"gnutls-cli", "gnutls", runGnuTLS, func(c cell) bool { return gnutlsCipher(c.suite) != "" }},
	{"nss tstclnt", "nss", runNSS, func(c cell) bool { return true }},
	{"curl", "curl", runCurl, func(c cell) bool { return true }},
	{"crypto/tls client", "", runGoClient, func(c cell) bool { return true }},
}

func clientNames() (names []string) {
	for _, p := range peerClients {
		names = append(names, p.name)
	}
	return names
}

// testServerMatrix lets every peer's client connect to our server. Spawning is what takes the time, so
// each cell's server is our own listener in this process.
func testServerMatrix(t *testing.T) {
	for _, p := range peerClients {
		for _, kind := range both {
			t.Run(p.name+" "+kind, func(t *testing.T) {
				if p.peer != "" {
					need(t, p.peer)
				}
				for _, c := range serverCells(p.name, kind) {
					if p.can(c) {
						try(t, c, func(t *testing.T) { accept(t, p, c) })
					}
				}
			})
		}
	}
}

// serverCells is the same list as for our client.
func serverCells(peer, kind string) (cells []cell) {
	for _, v := range versions {
		for _, suite := range suitesOf(v, kind) {
			for _, m := range modesOf(v) {
				cells = append(cells, cell{"server", peer, v, suite, groupOf(suite), kind, m})
			}
		}
	}
	cells = append(cells, extraCells("server", peer, kind)...)
	return append(cells, authCells("server", peer, kind)...)
}

// accept runs our server for one cell and checks what each connection came to.
func accept(t *testing.T, p peerClient, c cell) {
	cfg := serverConfig(c)
	// tstclnt -L 2 sends nothing on its second connection and waits for an answer.
	s, err := serve(cfg, c.peer == "nss tstclnt" && c.connections() == 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	p.run(t, s.addr, c)
	want := map[mode]engine.Resumption{
		modeID: engine.ByID, modeTicket: engine.ByTicket, modePSK: engine.ByPSK, modePSKHRR: engine.ByPSK,
		modeEarly: engine.ByPSK, modeRefused: engine.ByPSK,
	}[c.mode]
	request := checkServed(t, s, c, engine.NotResumed)
	if want != engine.NotResumed && !t.Failed() {
		request += checkServed(t, s, c, want)
	}
	// gnutls-cli --resume uses its second connection alone, tstclnt -L 2 its first.
	if !strings.HasPrefix(request, "GET ") {
		t.Errorf("the request is %q", request)
	}
}

func checkServed(t *testing.T, s *server, c cell, want engine.Resumption) (request string) {
	t.Helper()
	r, err := s.next()
	if err != nil {
		t.Fatal(err)
	}
	if r.err != nil {
		t.Fatalf("our server: %v (%s)", r.err, describe(&r.facts))
	}
	f := r.facts
	if accepted := c.mode == modeEarly && want != engine.NotResumed; f.EarlyOK != accepted {
		t.Errorf("0-RTT accepted: %v, wanted %v", f.EarlyOK, accepted)
	}
	if f.Version != c.version || f.Suite != c.suite || f.Resumed != want {
		t.Errorf("negotiated %s, wanted resumption %q", describe(&f), want)
	}
	if c.group != 0 && want == engine.NotResumed && f.Group != enabledGroup(c) {
		t.Errorf("group %v, wanted %v", f.Group, enabledGroup(c))
	}
	return r.request
}

// serverConfig allows exactly the cell. With mode HRR the client's first share is for a group that is
// not enabled.
func serverConfig(c cell) *engine.ServerConfig {
	cfg := &engine.ServerConfig{
		Certificates: []*engine.Certificate{pki().identity(c.cert).engine}, Versions: engine.Versions(c.version),
		Suites: []wire.CipherSuite{c.suite}, DH: keys.DHGroupOf(2048), ALPN: []string{"http/1.1"}, SessionLifetime: 5 * time.Minute,
		TicketCount: 2, Rand: &lockedRand{r: seeded(3)},
	}
	if c.version == wire.TLS13 {
		cfg.Suites13 = cfg.Suites
	}
	if c.group != 0 {
		cfg.Groups = []wire.Group{enabledGroup(c)}
	}
	switch c.mode {
	case modeID:
		cfg.Sessions = &store{m: map[string]*engine.Session{}}
	case modeEarly, modeRefused:
		cfg.MaxEarlyData = 1 << 14
		fallthrough
	case modeTicket, modePSK, modePSKHRR:
		cfg.Tickets = engine.FixedTicketKeys{{Name: [16]byte{1}, AES: [16]byte{2}, HMAC: [32]byte{3}}}
	case modeClient:
		cfg.ClientAuth = engine.ClientAuthRequire
		cfg.ClientVerifier = &engine.Verifier{Roots: pki().roots, Client: true}
	}
	return cfg
}

// enabledGroup is what our server enables: with a HelloRetryRequest not the one that the client shares.
func enabledGroup(c cell) wire.Group {
	if c.retried() {
		return wire.Secp384r1
	}
	return c.group
}

// retried: a HelloRetryRequest is called for, which also rejects 0-RTT.
func (c cell) retried() bool {
	return c.mode == modeRetry || c.mode == modePSKHRR || c.mode == modeRefused
}

// offersFor gives the groups that a client is told to offer, in order.
func offersFor(c cell) []wire.Group {
	switch {
	case c.retried():
		return []wire.Group{wire.X25519, wire.Secp384r1}
	case c.group == 0:
		return []wire.Group{wire.X25519, wire.Secp256r1}
	case c.group == wire.Secp256r1:
		return []wire.Group{c.group}
	}
	return []wire.Group{c.group, wire.Secp256r1}
}

// connections is how many a cell needs.
func (c cell) connections() int {
	switch c.mode {
	case modeID, modeTicket, modePSK, modePSKHRR, modeEarly, modeRefused:
		return 2
	}
	return 1
}

func runOpenSSL(t *testing.T, addr string, c cell) {
	names := map[wire.Group]string{wire.X25519: "X25519", wire.Secp256r1: "P-256", wire.Secp384r1: "P-384"}
	var groups []string
	for _, g := range offersFor(c) {
		groups = append(groups, names[g])
	}
	args := []string{"s_client", "-connect", addr, "-servername", serverName, "-CAfile", pki().caFile, "-verify_return_error",
		"-ign_eof", "-quiet", "-groups", strings.Join(groups, ":")}
	switch c.version {
	case wire.TLS10:
		args = append(args, "-tls1")
	case wire.TLS11:
		args = append(args, "-tls1_1")
	case wire.TLS12:
		args = append(args, "-tls1_2")
	default:
		args = append(args, "-tls1_3")
	}
	args = append(args, "-cipher", everything)
	if c.mode == modeID {
		args = append(args, "-no_ticket")
	}
	if c.mode == modeClient {
		args = append(args, "-cert", pki().client.certFile, "-key", pki().client.keyFile)
	}
	session := filepath.Join(t.TempDir(), "session.pem")
	for i := range c.connections() {
		extra, input := []string{"-sess_out", session}, request
		if i > 0 {
			extra = []string{"-sess_in", session}
			if c.mode == modeEarly || c.mode == modeRefused {
				extra = append(extra, "-early_data", requestFile(t))
			}
			if c.mode == modeEarly {
				input = "" // it has gone out already
			}
		}
		if out, err := runTool(t, input, nil, "openssl", append(args, extra...)...); err != nil || !strings.Contains(out, "200 OK") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// requestFile holds the request for a client that sends it as 0-RTT data.
func requestFile(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "early")
	if err := os.WriteFile(file, []byte(request), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// gnutlsCipher spells a suite in GnuTLS's priority language; "" if GnuTLS does not have it.
func gnutlsCipher(id wire.CipherSuite) string {
	s := id.String()
	kx := map[string]string{"TLS_RSA_": "+RSA", "TLS_DHE_RSA_": "+DHE-RSA", "TLS_ECDHE_RSA_": "+ECDHE-RSA", "TLS_ECDHE_ECDSA_": "+ECDHE-ECDSA"}
	ciphers := []struct{ in, out string }{
		{"AES_128_GCM", "+AES-128-GCM:+AEAD"}, {"AES_256_GCM", "+AES-256-GCM:+AEAD"}, {"CHACHA20_POLY1305", "+CHACHA20-POLY1305:+AEAD"},
		{"AES_128_CBC_SHA256", "+AES-128-CBC:+SHA256"}, {"AES_256_CBC_SHA256", "+AES-256-CBC:+SHA256"},
		{"AES_256_CBC_SHA384", "+AES-256-CBC:+SHA384"}, {"AES_128_CBC_SHA", "+AES-128-CBC:+SHA1"}, {"AES_256_CBC_SHA", "+AES-256-CBC:+SHA1"},
		{"3DES_EDE_CBC_SHA", "+3DES-CBC:+SHA1"}, {"RC4_128_SHA", "+ARCFOUR-128:+SHA1"}, {"RC4_128_MD5", "+ARCFOUR-128:+MD5"},
	}
	before, after, ok := strings.Cut(s, "WITH_")
	if !ok { // TLS 1.3: no key exchange in the name
		before, after = "", strings.TrimPrefix(s, "TLS_")
	}
	for _, x := range ciphers {
		if strings.HasPrefix(after, x.in) {
			if before == "" {
				return x.out
			}
			return kx[before] + ":" + x.out
		}
	}
	return ""
}

func runGnuTLS(t *testing.T, addr string, c cell) {
	host, port, _ := net.SplitHostPort(addr)
	names := map[wire.Group]string{wire.X25519: "+GROUP-X25519", wire.Secp256r1: "+GROUP-SECP256R1", wire.Secp384r1: "+GROUP-SECP384R1"}
	prio := "NONE:+VERS-" + strings.ReplaceAll(c.version.String(), " ", "") + ":" + gnutlsCipher(c.suite) +
		":+COMP-NULL:+SIGN-ALL:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1:+CTYPE-X509:%VERIFY_ALLOW_SIGN_WITH_SHA1:+GROUP-FFDHE2048"
	if c.retried() {
		prio += ":%DISABLE_TLS13_COMPAT_MODE" // HRR without the mode, too: the other peers have it on
	}
	for _, g := range offersFor(c) {
		prio += ":" + names[g]
	}
	if c.version == wire.TLS13 {
		prio += ":+ECDHE-RSA:+ECDHE-ECDSA"
	}
	args := []string{"-p", port, "--x509cafile", pki().caFile, "--sni-hostname", serverName, "--verify-hostname", serverName,
		"--priority", prio}
	if c.mode == modeID {
		args = append(args, "--noticket")
	}
	if c.connections() == 2 {
		args = append(args, "--resume", "--waitresumption")
	}
	if c.mode == modeEarly || c.mode == modeRefused {
		args = append(args, "--earlydata", requestFile(t))
	}
	if c.mode == modeClient {
		args = append(args, "--x509certfile", pki().client.certFile, "--x509keyfile", pki().client.keyFile)
	}
	args = append(args, host)
	out, err := runTool(t, request, regexp.MustCompile(`closed the connection|^</html>|<html>`), "gnutls-cli", args...)
	if err != nil || !strings.Contains(out, "200 OK") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func runNSS(t *testing.T, addr string, c cell) {
	host, port, _ := net.SplitHostPort(addr)
	names := map[wire.Group]string{wire.X25519: "x25519", wire.Secp256r1: "P256", wire.Secp384r1: "P384"}
	groups := []string{}
	for _, g := range offersFor(c) {
		groups = append(groups, names[g])
	}
	groups = append(groups, "FF2048")
	v := strings.ToLower(strings.ReplaceAll(c.version.String(), " ", ""))
	if c.version == wire.SSL30 {
		v = "ssl3"
	}
	args := []string{"-4", "-h", host, "-p", port, "-d", pki().nss(t), "-V", v + ":" + v, "-o"}
	if c.mode != modeID {
		args = append(args, "-u")
	}
	if c.mode == modeClient {
		args = append(args, "-n", "client")
	}
	if c.connections() == 2 {
		args = append(args, "-L", "2")
	} else { // with -L it frees its cipher list twice, and aborts
		args = append(args, "-a", serverName, "-I", strings.Join(groups, ","), "-c", fmt.Sprintf(":%04X", uint16(c.suite)))
	}
	out, err := runTool(t, request, nil, "tstclnt", args...)
	if want := map[int]string{1: "200 OK", 2: " cache hits"}[c.connections()]; err != nil || !strings.Contains(out, want) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func runCurl(t *testing.T, addr string, c cell) {
	_, port, _ := net.SplitHostPort(addr)
	v := map[wire.Version]string{wire.TLS10: "1.0", wire.TLS11: "1.1", wire.TLS12: "1.2", wire.TLS13: "1.3"}[c.version]
	groups := []string{}
	for _, g := range offersFor(c) {
		groups = append(groups, map[wire.Group]string{wire.X25519: "X25519", wire.Secp256r1: "P-256", wire.Secp384r1: "P-384"}[g])
	}
	args := []string{"-sS", "-i", "--http1.0", "--max-time", "20", "--cacert", pki().caFile, "--resolve", serverName + ":" + port + ":127.0.0.1",
		"--tlsv" + v, "--tls-max", v, "--ciphers", everything, "--curves", strings.Join(groups, ":")}
	if c.mode == modeClient {
		args = append(args, "--cert", pki().client.certFile, "--key", pki().client.keyFile)
	}
	for range c.connections() {
		args = append(args, "https://"+serverName+":"+port+"/")
	}
	out, err := runTool(t, "", nil, "curl", args...)
	if err != nil || strings.Count(out, "200 OK") != c.connections() {
		t.Fatalf("%v\n%s", err, out)
	}
}

func runGoClient(t *testing.T, addr string, c cell) {
	cfg := &tls.Config{
		RootCAs: pki().roots, ServerName: serverName, MinVersion: uint16(c.version), MaxVersion: uint16(c.version),
		CipherSuites: []uint16{uint16(c.suite)}, ClientSessionCache: tls.NewLRUClientSessionCache(4), NextProtos: []string{"http/1.1"},
	}
	for _, g := range offersFor(c) {
		cfg.CurvePreferences = append(cfg.CurvePreferences, tls.CurveID(g))
	}
	if c.version == wire.TLS13 {
		cfg.CipherSuites = nil
	}
	if c.mode == modeClient {
		cert, err := tls.LoadX509KeyPair(pki().client.certFile, pki().client.keyFile)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	for range c.connections() {
		nc, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		io.WriteString(nc, request)
		answer, err := io.ReadAll(nc)
		nc.Close()
		if err != nil || !strings.Contains(string(answer), "200 OK") {
			t.Fatalf("%v: %q", err, answer)
		}
	}
}
