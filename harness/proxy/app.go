package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ApplicationConfig is how the built-in application behaves.
type ApplicationConfig struct {
	// Think is how long it takes to make a page, drawn from Distribution: "constant" (Think itself),
	// "exponential" (mean Think) or "uniform" (0 to 2 × Think). Default 0.
	Think        time.Duration
	Distribution string
	// Workers is how many pages are made at a time; further requests wait. Default 0: any number.
	Workers int
	// Poll is how long a /polling request is held before it is answered. Default 0: at once.
	Poll time.Duration
	// PageBytes is the length of a page's filler beside its links. Default 2048.
	PageBytes int
	// Assets is how many style sheets, scripts and images a page names. Default 6.
	Assets int
	// MaxUpload is how many bytes /upload takes. Default 400 MiB.
	MaxUpload int64
	// Seed decides think times.
	Seed uint64
}

// Application is a small Rails-like site: pages that name assets, /polling, /upload, /crossdomain.xml. It is
// real HTTP and holds no state but counters.
type Application struct {
	cfg    ApplicationConfig
	mu     sync.Mutex
	random *rand.Rand
	filler []byte
	places chan struct{} // one for each page that is being made; nil: any number

	requests, uploads, uploaded, polls atomic.Int64
}

// defaultApplication answers inside an edge that has no upstream.
var defaultApplication = NewApplication(ApplicationConfig{})

// NewApplication makes one.
func NewApplication(cfg ApplicationConfig) *Application {
	if cfg.PageBytes == 0 {
		cfg.PageBytes = 2048
	}
	if cfg.Assets == 0 {
		cfg.Assets = 6
	}
	if cfg.MaxUpload == 0 {
		cfg.MaxUpload = 400 << 20
	}
	a := &Application{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0x7261696c73))}
	if cfg.Workers > 0 {
		a.places = make(chan struct{}, cfg.Workers)
	}
	a.filler = []byte(strings.Repeat("<p>Nothing is so painful to the human mind as a great and sudden change.</p>\n", cfg.PageBytes/77+1)[:cfg.PageBytes])
	return a
}

// Serve answers on the listener until ctx ends.
func (a *Application) Serve(ctx context.Context, l net.Listener) error { return serveHTTP(ctx, l, a) }

// serveHTTP runs a net/http server until ctx ends, and lets requests in flight finish.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 60 * time.Second, IdleTimeout: 75 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		srv.Close()
	}
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = e
	}
	return err
}

func (a *Application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/polling"):
		a.poll(w, r)
	case path == "/upload":
		a.upload(w, r)
	case path == "/crossdomain.xml":
		write(w, "text/xml", []byte("<?xml version=\"1.0\"?>\n<cross-domain-policy><allow-access-from domain=\"*\"/></cross-domain-policy>\n"))
	case path == "/health":
		write(w, "text/plain", []byte("ok\n"))
	case path == "/echo":
		a.echo(w, r)
	case strings.HasPrefix(path, "/bytes/"), strings.HasPrefix(path, "/chunked/"):
		a.object(w, r)
	case strings.HasPrefix(path, "/assets/"):
		a.asset(w, r)
	case strings.HasPrefix(path, "/status/"):
		code, err := strconv.Atoi(path[len("/status/"):])
		if err != nil || code < 200 || code > 599 {
			code = http.StatusNotFound
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(code)
	default:
		a.page(w, r)
	}
}

func write(w http.ResponseWriter, typ string, body []byte) {
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// think waits as long as making a page takes.
func (a *Application) think(ctx context.Context) {
	if a.places != nil {
		select {
		case a.places <- struct{}{}:
			defer func() { <-a.places }()
		case <-ctx.Done():
			return
		}
	}
	if a.cfg.Think <= 0 {
		return
	}
	d := a.cfg.Think
	a.mu.Lock()
	switch a.cfg.Distribution {
	case "exponential":
		d = time.Duration(a.random.ExpFloat64() * float64(d))
	case "uniform":
		d = time.Duration(a.random.Float64() * 2 * float64(d))
	}
	a.mu.Unlock()
	pause(ctx, d)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// page is HTML that names its assets.
func (a *Application) page(w http.ResponseWriter, r *http.Request) {
	a.think(r.Context())
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html><head><title>%s</title>\n", htmlEscape(r.URL.Path))
	for i := range a.cfg.Assets {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "<link rel=\"stylesheet\" href=\"/assets/page-%d.css\">\n", i)
		case 1:
			fmt.Fprintf(&b, "<script src=\"/assets/page-%d.js\"></script>\n", i)
		default:
			fmt.Fprintf(&b, "<img src=\"/assets/page-%d.png\" alt=\"\">\n", i)
		}
	}
	b.WriteString("</head><body>\n")
	b.Write(a.filler)
	b.WriteString("</body></html>\n")
	w.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
	w.Header().Set("X-Runtime", "0.01")
	write(w, "text/html; charset=utf-8", []byte(b.String()))
}

func htmlEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// maxObject bounds what one request may ask for.
const maxObject = 1 << 30

// object is as many bytes as its name says, under /bytes/ with Content-Length and under /chunked/ without.
func (a *Application) object(w http.ResponseWriter, r *http.Request) {
	kind, number, _ := strings.Cut(r.URL.Path[1:], "/")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > maxObject {
		http.Error(w, fmt.Sprintf("want /%s/N with N from 0 to %d", kind, maxObject), http.StatusNotFound)
		return
	}
	a.think(r.Context())
	w.Header().Set("Content-Type", "application/octet-stream")
	if kind == "bytes" {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	if r.Method == http.MethodHead {
		return
	}
	for piece := a.filler; n > 0; n -= int64(len(piece)) {
		piece = piece[:min(n, int64(len(piece)))]
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
	if kind != "bytes" {
		_ = http.NewResponseController(w).Flush() // so that net/http does not count for itself
	}
}

// asset is a file of a length that its name decides: 1 to 32 KiB.
func (a *Application) asset(w http.ResponseWriter, r *http.Request) {
	typ := "application/octet-stream"
	switch {
	case strings.HasSuffix(r.URL.Path, ".css"):
		typ = "text/css"
	case strings.HasSuffix(r.URL.Path, ".js"):
		typ = "application/x-javascript"
	case strings.HasSuffix(r.URL.Path, ".png"):
		typ = "image/png"
	}
	h := uint32(2166136261)
	for _, c := range []byte(r.URL.Path) {
		h = (h ^ uint32(c)) * 16777619
	}
	body := make([]byte, 1024+h%(31<<10))
	for i := range body {
		body[i] = "abcdefghijklmnopqrstuvwxyz012345"[(uint32(i)+h)&31]
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000")
	write(w, typ, body)
}

// poll holds the request like a chat's long poll, then answers that there is nothing new.
func (a *Application) poll(w http.ResponseWriter, r *http.Request) {
	a.polls.Add(1)
	pause(r.Context(), a.cfg.Poll)
	write(w, "application/json; charset=utf-8", []byte("{\"messages\":[]}\n"))
}

// upload reads and counts a body.
func (a *Application) upload(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		w.Header().Set("Allow", "POST, PUT")
		http.Error(w, "upload with POST", http.StatusMethodNotAllowed)
		return
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, a.cfg.MaxUpload+1))
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	if n > a.cfg.MaxUpload {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	a.uploads.Add(1)
	a.uploaded.Add(n)
	write(w, "application/json; charset=utf-8", fmt.Appendf(nil, "{\"bytes\":%d}\n", n))
}

// echo tells what arrived, for tests of what an edge passes on.
func (a *Application) echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	text, err := json.MarshalIndent(map[string]any{"method": r.Method, "uri": r.RequestURI, "proto": r.Proto, "host": r.Host,
		"header": r.Header, "body": string(body)}, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, "application/json", append(text, '\n'))
}
