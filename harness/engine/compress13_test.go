package engine

import (
	"bytes"
	"errors"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// A compressed certificate comes out as it went in, in each algorithm, and the handshake completes with it.
func TestCompressedCertificates(t *testing.T) {
	for _, alg := range []wire.CertCompression{wire.CertZlib, wire.CertBrotli, wire.CertZstd} {
		cc, ch, sc := full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, ch *hello.ClientHello, sc *ServerConfig) {
			ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtCompressCertificate, Data: []byte{2, 0, byte(alg)}})
			sc.CertCompression = []wire.CertCompression{wire.CertZstd, wire.CertBrotli, wire.CertZlib}
		})(t)
		p := newPair(t, cc, ch, sc)
		p.must()
		if p.client.Facts().CertCompression != alg || p.server.Facts().CertCompression != alg {
			t.Errorf("%v: the client saw %v, the server %v", alg, p.client.Facts().CertCompression, p.server.Facts().CertCompression)
		}
	}
}

// A few kilobytes that stand for many megabytes are given up as soon as they exceed what was promised; cut short
// they are an error too.
func TestCertificateBombs(t *testing.T) {
	for _, alg := range []wire.CertCompression{wire.CertZlib, wire.CertBrotli, wire.CertZstd} {
		bomb := compressCertificate(alg, make([]byte, 64<<20))
		m, err := wire.ParseCompressedCertificate(bomb[wire.MessageHeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decompressCertificate(m); !errors.Is(err, ErrMessageSize) {
			t.Errorf("%v: %v", alg, err)
		}
		m.Length = 1000
		spent := testing.AllocsPerRun(1, func() {
			if _, err := decompressCertificate(m); !errors.Is(err, ErrCertDecompress) {
				t.Errorf("%v: %v", alg, err)
			}
		})
		if spent > 1000 {
			t.Errorf("%v: %v allocations for a bomb", alg, spent)
		}
		whole := compressCertificate(alg, append(make([]byte, wire.MessageHeaderLen), bytes.Repeat([]byte("certificate "), 90)...))
		m, err = wire.ParseCompressedCertificate(whole[wire.MessageHeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		m.Compressed = m.Compressed[:len(m.Compressed)/2]
		if _, err := decompressCertificate(m); !errors.Is(err, ErrCertDecompress) {
			t.Errorf("%v, half of it: %v", alg, err)
		}
	}
}
