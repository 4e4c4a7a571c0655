package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// An edge that stops answers the request that it has, closes what is idle, and takes nothing new.
func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	p := newPKI(t, "ecdsa")
	asked, answer := make(chan struct{}), make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-answer
		io.WriteString(w, "late")
	}))
	defer app.Close()
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key, Upstream: app.Listener.Addr().String()})
	idle := dialN(t, e, 1)[0]
	got := make(chan string, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client(), DisableKeepAlives: true}, Timeout: 10 * time.Second}
		resp, err := client.Get("https://" + e.addr + "/slow")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- fmt.Sprint(resp.StatusCode, " ", string(body))
	}()
	<-asked
	e.Close()
	waitFor(t, "the idle one to be closed", func() bool { return ending(idle) != "open" })
	if c, err := net.Dial("tcp", e.addr); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	close(answer)
	if s := <-got; s != "200 late" {
		t.Errorf("the request in flight got %q", s)
	}
}

// Clients that keep asking on fresh connections see the old certificate, then the new one, and never an error.
func TestNewCertificateUnderLoad(t *testing.T) {
	first, second := newPKI(t, "ecdsa"), newPKI(t, "ecdsa")
	o := Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: first.cert, Key: first.key, Listen: []string{freeAddr(t)}, ErrorLog: filepath.Join(t.TempDir(), "error.log")}
	e := startEdge(t, o)
	cfg := first.client()
	cfg.InsecureSkipVerify = true // either certificate: which one is told below
	stop, failed := make(chan struct{}), make(chan error, 4)
	var answered atomic.Int64
	for range cap(failed) {
		go func() {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: 10 * time.Second}
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				resp, err := client.Get("https://" + e.addr + "/health")
				if err != nil {
					failed <- err
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				answered.Add(1)
			}
		}()
	}
	for i := range 6 {
		seen := answered.Load()
		waitFor(t, "requests between reloads", func() bool { return answered.Load() > seen+10 })
		now := []*pki{second, first}[i%2]
		o.Certificate, o.Key = now.cert, now.key
		e.hangup(func() (*Config, error) { return Load(o) })
		c, err := visit(e.addr, now.client())
		if err != nil {
			t.Fatalf("reload %d: the new certificate is not served: %v", i, err)
		}
		c.Close()
	}
	close(stop)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// What /metrics says is Prometheus's format, by its own parser.
func TestMetricsParse(t *testing.T) {
	p := newPKI(t, "ecdsa")
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key})
	c, err := visit(e.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := httptest.NewRecorder()
	e.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"accepted_total", "handshakes_total", "requests_total", "responses_total", "connections", "table_places", "table_places_used"} {
		if f := families["tlsurge_edge_"+name]; f == nil || f.GetHelp() == "" {
			t.Errorf("no tlsurge_edge_%s, or without help", name)
		}
	}
	if n := families["tlsurge_edge_accepted_total"].GetMetric()[0].GetCounter().GetValue(); n != 1 {
		t.Errorf("%v connections accepted, want 1", n)
	}
}

// A handshake has a minute where nothing else is said.
func TestHandshakeHasAMinute(t *testing.T) {
	p := newPKI(t, "ecdsa")
	e := startEdge(t, Options{Stack: "openssl-3.0", Certificate: p.cert, Key: p.key})
	dialN(t, e, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		if d := c.deadline.Sub(c.accepted); d != time.Minute {
			t.Errorf("a handshake has %v, want 60 s", d)
		}
	}
	if len(e.conns) != 1 {
		t.Errorf("%d connections", len(e.conns))
	}
}
