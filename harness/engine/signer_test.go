package engine

import (
	"crypto"
	"testing"

	"tlsurge/profiles/wire"
)

// hidden is a key behind somebody else's door: it signs, and shows nothing else of itself.
type hidden struct{ crypto.Signer }

// TestAKeyBehindADoor: a signer that is no *rsa.PrivateKey signs what the version and scheme ask, PSS included.
func TestAKeyBehindADoor(t *testing.T) {
	plain := fileCert("rsa")
	cert := *plain
	cert.Key = hidden{plain.Key}
	for _, version := range []wire.Version{wire.TLS11, wire.TLS12, wire.TLS13} {
		cc := &ClientConfig{Verifier: verifierFor(t, plain), ServerName: "www.example.test", Rand: seeded(2)}
		sc, ch := basicServer(), basicHello(version, wire.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA)
		if version == wire.TLS13 {
			sc, ch = server13Config(), offer13(cc, wire.TLS_AES_128_GCM_SHA256, only25519...)
		}
		sc.Certificates = []*Certificate{&cert}
		p := newPair(t, cc, ch, sc)
		p.run()
		if err := p.client.Err(); err != nil || !p.client.HandshakeDone() {
			t.Errorf("%v: %v", version, err)
		}
	}
}
