package profiles

import (
	"math/rand/v2"
	"testing"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// TestFillAllocatesNothing: the hot path of a load generator, on profiles of 2015.
func TestFillAllocatesNothing(t *testing.T) {
	for name, p := range map[string]*HelloParams{
		"firefox-35-osx":       {},
		"chrome-40-osx":        {Resume: &ResumeOffer{Ticket: make([]byte, 192), Version: wire.TLS12}},
		"safari-8-osx10.10":    {Resume: &ResumeOffer{ID: make([]byte, 32), Version: wire.TLS12}},
		"ie-11-win7-unpatched": {},
		"chrome-39-win7":       {MaxVersion: wire.TLS11, SCSV: true},
	} {
		pr, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		p.ServerName, p.Random, p.Now = "www.example.test", rand.NewChaCha8([32]byte{}), time.Unix(1421107200, 0)
		var ch hello.ClientHello
		buf := make([]byte, 0, 2048)
		n := testing.AllocsPerRun(100, func() {
			if err := pr.Fill(&ch, p); err != nil {
				t.Fatal(err)
			}
			buf = ch.AppendRecords(buf[:0])
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a hello, expected none", name, n)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	for _, name := range []string{"firefox-35-osx", "safari-8-osx10.10", "chrome-101-win10", "chromium-156-linux"} {
		b.Run(name, func(b *testing.B) {
			pr, err := Lookup(name)
			if err != nil {
				b.Fatal(err)
			}
			shares := map[wire.Group][]byte{}
			for g, n := range shareLengths {
				shares[g] = make([]byte, n)
			}
			p := &HelloParams{ServerName: "www.example.test", Random: rand.NewChaCha8([32]byte{}), Shares: func(g wire.Group) []byte { return shares[g] }}
			var ch hello.ClientHello
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if err := pr.Fill(&ch, p); err != nil {
					b.Fatal(err)
				}
				buf = ch.AppendRecords(buf[:0])
			}
		})
	}
}
