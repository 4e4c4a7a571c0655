package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const scrapedScenario = `name = "scraped"
seed = 5
[load]
connections = 30
per_browser = 1
duration = "3s"
ramp = "500ms"
request_rate = 40
[fleet]
edges = 1
[[browsers]]
profile = "firefox-35-osx"
share = 1
`

// scrape reads /metrics with the parser of Prometheus's own libraries.
func scrape(t *testing.T, url, accept string) map[string]*dto.MetricFamily {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	families := map[string]*dto.MetricFamily{}
	dec := expfmt.NewDecoder(resp.Body, expfmt.ResponseFormat(resp.Header))
	for {
		f := &dto.MetricFamily{}
		if err := dec.Decode(f); err == io.EOF {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
}

// TestMetricsWhileARunLasts: a scraper sees the run grow, in text and with native histograms, finds the
// result after it, and lets it end.
func TestMetricsWhileARunLasts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "scraped.toml")
	if err := os.WriteFile(file, []byte(scrapedScenario), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, stderr := startPiped(t, "run", file, "--out", filepath.Join(dir, "run"), "--metrics", "127.0.0.1:0", "--metrics-linger", "1m", "--tag", "team=edge of the net", "--quiet")
	line, err := stderr.ReadString('\n')
	at := regexp.MustCompile(`http://\S+/metrics`).FindString(line)
	if at == "" {
		t.Fatalf("%q, %v", line, err)
	}
	go io.Copy(io.Discard, stderr)
	protobuf := string(expfmt.NewFormat(expfmt.TypeProtoDelim))
	established, finished := 0.0, false
	for deadline := time.Now().Add(90 * time.Second); !finished; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the run does not end")
		}
		text := scrape(t, at, "text/plain;version=0.0.4")
		established = max(established, gauge(text, "tlsurge_connections_established"))
		finished = gauge(text, "tlsurge_run_finished") == 1
		if info := text["tlsurge_run_info"]; info == nil || !strings.Contains(info.String(), "edge of the net") {
			t.Fatalf("no tag in %v", info)
		}
		if finished {
			break
		}
		native := scrape(t, at, protobuf)
		finished = gauge(native, "tlsurge_run_finished") == 1 // whoever sees the result has had the last scrape
		if h := native["tlsurge_latency_seconds"]; h != nil {
			native := h.Metric[0].Histogram
			if native.GetSchema() != 5 || len(native.PositiveSpan) == 0 || len(native.Bucket) == 0 {
				t.Errorf("neither native nor classic buckets: %v", native)
			}
		}
	}
	if established == 0 {
		t.Error("no scrape saw a connection established")
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after the last scrape: %v", err)
	}
}

func gauge(families map[string]*dto.MetricFamily, name string) float64 {
	if f := families[name]; f != nil {
		return f.Metric[0].GetGauge().GetValue()
	}
	return 0
}
