package engine

import (
	"bytes"
	"slices"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// TestRetryWithCookie: the second hello carries cookie and share as asked, its binder is right, and nothing
// else changed (RFC 8446 §4.1.2, Client Hello, lists what may).
func TestRetryWithCookie(t *testing.T) {
	for _, r := range []struct {
		why   string
		build builder13
		exts  []wire.Extension
		share wire.Group // of the second hello
	}{
		{"a cookie alone leaves the shares", plain13, []wire.Extension{ext(wire.ExtCookie, 0, 3, 'a', 'b', 'c')}, wire.X25519},
		{"cookie and group", plain13, []wire.Extension{ext(wire.ExtCookie, 0, 3, 'a', 'b', 'c'), ext(wire.ExtKeyShare, 0, 0x18)}, wire.Secp384r1},
		{"a PSK stays last, behind the cookie", pskBuild, []wire.Extension{ext(wire.ExtKeyShare, 0, 0x17), ext(wire.ExtCookie, 0, 3, 'a', 'b', 'c')}, wire.Secp256r1},
	} {
		p := newPuppet(t, r.build)
		first := p.client.hs.hello
		p.hello(retry(r.exts...))
		if p.err != nil {
			t.Errorf("%s: %v", r.why, p.err)
			continue
		}
		second := p.client.hs.hello
		if !bytes.Equal(second.Cookie(), []byte("abc")) || !slices.Contains(sharedGroups(second), r.share) {
			t.Errorf("%s: cookie %q, shares for %v", r.why, second.Cookie(), sharedGroups(second))
		}
		if err := second.Check(); err != nil {
			t.Errorf("%s: %v", r.why, err)
		}
		if got, want := others(second), others(first); !slices.Equal(got, want) || second.Random != first.Random || !slices.Equal(second.Suites, first.Suites) {
			t.Errorf("%s: the rest went from %v to %v", r.why, want, got)
		}
		if n := len(second.Extensions); first.Has(wire.ExtPreSharedKey) && second.Extensions[n-1].Type != wire.ExtPreSharedKey {
			t.Errorf("%s: pre_shared_key is not last", r.why)
		}
	}
}

// others lists the extensions that a retry may not touch.
func others(ch *hello.ClientHello) (out []string) {
	for _, e := range ch.Extensions {
		switch e.Type {
		case wire.ExtCookie, wire.ExtKeyShare, wire.ExtPreSharedKey, wire.ExtEarlyData:
		default:
			out = append(out, e.Type.String()+string(e.Data))
		}
	}
	return out
}
