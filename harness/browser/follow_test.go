package browser

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"
)

// Without a rate the models that only connect keep so many connections under way.
func TestConnectionsFollowEachOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model   Model
		version uint16
		profile string
	}{
		{HandshakeOnly, tls.VersionTLS12, "firefox-35-osx"},
		{HandshakeOnly, tls.VersionTLS13, "chrome-79-win10"},
		{ResumeOnly, tls.VersionTLS12, "chrome-79-win10"},
		{ResumeOnly, tls.VersionTLS13, "chrome-79-win10"},
	} {
		s := serve(t, 1, c.version, http.HandlerFunc(ok))
		cfg := config(s, Visitor{Profile: profile(t, c.profile), Weight: 1})
		cfg.Load = Load{Model: c.model, Connections: 4, PerBrowser: [2]int{2, 2}, Duration: 500 * time.Millisecond}
		p := play(t, cfg)
		clean(t, p)
		if tt := p.totals; tt.Completed <= 4 || tt.OpenAtEnd > 4 {
			t.Errorf("%s: want one connection after another, four at a time: %+v", c.model, tt)
		}
		for _, h := range p.snapshot.Handshakes {
			if (h.Resumed != "") != (c.model == ResumeOnly) {
				t.Errorf("%s: %d handshakes resumed %q", c.model, h.Count, h.Resumed)
			}
		}
	}
}

// A target that refuses is asked again after a pause, not in a circle.
func TestRefusedConnectionsFollowSlowly(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	cfg := config(&server{edges: []Edge{{"edge-1", addr}}}, Visitor{Profile: profile(t, "curl-7.88.1-openssl3.0"), Weight: 1})
	cfg.Load = Load{Model: HandshakeOnly, Connections: 3, Duration: 300 * time.Millisecond}
	p := playCold(t, cfg)
	most := int64(3 * (1 + cfg.Load.Duration/pauseAfterFailure))
	if tt := p.totals; tt.Completed != 0 || tt.Failed <= 3 || tt.Failed > most {
		t.Errorf("want more than 3 and at most %d failures: %+v", most, tt)
	}
}
