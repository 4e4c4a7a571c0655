package engine

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tlsurge/profiles/wire"
)

var recordedPeers = []struct {
	name    string
	version wire.Version
	suite   wire.CipherSuite
	cert    string
	resume  Resumption
	auth    ClientAuth
	args    []string
	facts   func(*Facts) bool
}{
	{name: "tls10-rsa-aes128-sha-id", version: wire.TLS10, suite: wire.TLS_RSA_WITH_AES_128_CBC_SHA, cert: "rsa", resume: ByID,
		args: []string{"-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0", "-no_ticket"}},
	{name: "tls11-ecdhe-rsa-aes256-sha", version: wire.TLS11, suite: wire.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, cert: "rsa",
		args: []string{"-tls1_1", "-cipher", "ECDHE-RSA-AES256-SHA:@SECLEVEL=0"}},
	{name: "tls12-ecdhe-ecdsa-aes128-gcm-ticket-ems", version: wire.TLS12, suite: wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, cert: "ecdsa",
		resume: ByTicket, args: []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"}, facts: func(f *Facts) bool { return f.EMS }},
	{name: "tls12-dhe-rsa-aes256-sha256-etm", version: wire.TLS12, suite: wire.TLS_DHE_RSA_WITH_AES_256_CBC_SHA256, cert: "rsa",
		args: []string{"-tls1_2", "-cipher", "DHE-RSA-AES256-SHA256:@SECLEVEL=0"}, facts: func(f *Facts) bool { return f.EtM }},
	{name: "tls12-ecdhe-rsa-chacha20-alpn", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, cert: "rsa",
		args: []string{"-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305", "-alpn", "h2,http/1.1"}, facts: func(f *Facts) bool { return f.ALPN == "http/1.1" }},
	{name: "tls12-ecdhe-rsa-npn", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, cert: "rsa",
		args: []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384", "-nextprotoneg", "http/1.1"}, facts: func(f *Facts) bool { return f.NPN == "http/1.1" }},
	{name: "tls12-client-certificate-ecdsa", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cert: "rsa", auth: ClientAuthRequire,
		args:  []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-cert", "testdata/ecdsa.crt", "-key", "testdata/ecdsa.key"},
		facts: func(f *Facts) bool { return f.ClientCert }},
	{name: "tls11-client-certificate-rsa", version: wire.TLS11, suite: wire.TLS_RSA_WITH_AES_128_CBC_SHA, cert: "ecdsa rsa", auth: ClientAuthRequest,
		args:  []string{"-tls1_1", "-cipher", "AES128-SHA:@SECLEVEL=0", "-cert", "testdata/rsa.crt", "-key", "testdata/rsa.key"},
		facts: func(f *Facts) bool { return f.ClientCert }},
}

// TestRecordedClients replays s_client's side to our server.
func TestRecordedClients(t *testing.T) {
	for _, r := range recordedPeers {
		t.Run(r.name, func(t *testing.T) {
			file := filepath.Join("testdata/openssl", "client-"+r.name+".txt")
			sc := basicServer()
			sc.Certificates = []*Certificate{fileCert("rsa"), fileCert("ecdsa")}
			sc.Sessions = mapStore{}
			sc.Tickets = FixedTicketKeys{{Name: [16]byte{1}}}
			sc.ClientAuth = r.auth
			sc.ALPN, sc.NPN = []string{"http/1.1"}, []string{"spdy/3", "http/1.1"}
			newEnd := func() *end { return &end{conn: NewServer(sc), say: []byte("hello from the server\n")} }
			check := func(e *end, resumed Resumption) {
				f := e.conn.Facts()
				if !e.conn.HandshakeDone() || f.Version != r.version || f.Suite != r.suite || f.Resumed != resumed || r.facts != nil && !r.facts(f) {
					t.Fatalf("done %v, %+v", e.conn.HandshakeDone(), f)
				}
				if string(e.got) != "ping\n" {
					t.Fatalf("read %q, want ping", e.got)
				}
			}
			if *update {
				sess := filepath.Join(t.TempDir(), "session")
				first := newEnd()
				log := first.accept(t, append([]string{"-sess_out", sess}, r.args...))
				if r.resume != NotResumed {
					log = append(append(log, turn{}), newEnd().accept(t, append([]string{"-sess_in", sess}, r.args...))...)
				}
				writeTurns(t, file, log)
				return
			}
			for i, part := range readTurns(t, file) {
				e := newEnd()
				e.replay(t, part)
				if i == 0 {
					check(e, NotResumed)
				} else {
					check(e, r.resume)
				}
			}
		})
	}
}

// accept lets one s_client connect and say "ping".
func (e *end) accept(t *testing.T, args []string) []turn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cmd := exec.Command("openssl", append([]string{"s_client", "-connect", ln.Addr().String(), "-quiet", "-no_ign_eof", "-servername", "www.example.test"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Process.Kill(); cmd.Wait() }()
	in.Write([]byte("ping\n"))
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second))
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	return e.run(t, nc)
}
