package keys

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"encoding/hex"
	"strings"
	"testing"
	"testing/cryptotest"

	"tlsurge/profiles/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSchedule13 walks RFC 8448 §3, Simple 1-RTT Handshake, secret by secret.
func TestSchedule13(t *testing.T) {
	hello := unhex(t, `010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece70000061301130313020100
		00910000000b0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000003300
		260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04
		0305030603020308040805080604010501060102010402050206020202002d00020101001c00024001`)
	serverHello := unhex(t, `020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e003300
		24001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304`)

	client, err := NewShare(wire.X25519, unhex(t, "49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005"))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := client.Agree(nil, unhex(t, "c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f"))
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, got []byte, expect string) {
		t.Helper()
		if !bytes.Equal(got, unhex(t, expect)) {
			t.Errorf("%s is %x, the RFC has %s", what, got, expect)
		}
	}
	want("the ECDHE secret", shared, "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d")

	s := StartSchedule13(crypto.SHA256, nil)
	want("early secret", s.current.Bytes(), "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
	s.Handshake(shared)
	want("handshake secret", s.current.Bytes(), "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")

	th := sum(crypto.SHA256, append(bytes.Clone(hello), serverHello...))
	ch, sh := s.Derive(LabelClientHandshake, th), s.Derive(LabelServerHandshake, th)
	want("client_handshake_traffic_secret", ch.Bytes(), "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
	want("server_handshake_traffic_secret", sh.Bytes(), "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
	key, iv := sh.Key(16)
	want("server handshake key", key[:16], "3fce516009c21727d0f2e4e86ee403bc")
	want("server handshake IV", iv[:], "5d313eb2671276ee13000b30")

	s.Master()
	want("master secret", s.current.Bytes(), "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919")
	// The transcript hash up to the server's Finished, as the RFC prints it.
	th = unhex(t, "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13")
	for _, r := range []struct{ label, expect string }{
		{LabelClientTraffic, "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"},
		{LabelServerTraffic, "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"},
		{LabelExporter, "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50"},
	} {
		got := s.Derive(r.label, th)
		want(r.label, got.Bytes(), r.expect)
	}
	// And up to the client's.
	res := s.Derive(LabelResumption, unhex(t, "209145a96ee8e2a122ff810047cc95268465 8d6049e86429426db87c54ad143d"))
	want("resumption_master_secret", res.Bytes(), "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c")
	want("the PSK of ticket nonce 0000", res.PSK([]byte{0, 0}), "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3")
}

// TestBinder13 is the resumption binder of RFC 8448 §4: the PSK of §3 over the partial ClientHello,
// whose hash the RFC prints.
func TestBinder13(t *testing.T) {
	psk := unhex(t, "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3")
	s := StartSchedule13(crypto.SHA256, psk)
	key := s.Derive(LabelResumptionBinder, nil)
	partial := unhex(t, "63224b2e4573f2d3454ca84b9d009a04f6be9e05711a8396473aefa01e924a14")
	want := unhex(t, "3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d")
	if got := key.AppendVerifyData(nil, partial); !bytes.Equal(got, want) {
		t.Errorf("binder is %x, the RFC has %x", got, want)
	}
	if !key.Verify(partial, want) || key.Verify(partial, want[:31]) || key.Verify(nil, want) {
		t.Error("Verify accepts the whole right binder over the right hash, and nothing else")
	}
}

// TestExpandLabelIsHKDF holds extract and expander, written out here for speed, against crypto/hkdf.
func TestExpandLabelIsHKDF(t *testing.T) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		secret := extract(h, []byte("salt"), []byte("input"))
		prk, err := hkdf.Extract(h.New, []byte("input"), []byte("salt"))
		if err != nil || !bytes.Equal(secret.Bytes(), prk) {
			t.Errorf("%v: extract gives %x, crypto/hkdf %x (%v)", h, secret.Bytes(), prk, err)
		}
		for _, n := range []int{1, 12, 16, 32, 48, 49, 100, 500} {
			got := make([]byte, n)
			e := secret.expander()
			e.label(got, "label", []byte("context"))
			info := append([]byte{byte(n >> 8), byte(n), 11}, "tls13 label\x07context"...)
			want, err := hkdf.Expand(h.New, prk, string(info), n)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v, %d bytes: %x, crypto/hkdf has %x (%v)", h, n, got, want, err)
			}
		}
	}
}

// TestNext13: a KeyUpdate changes the secret, and the same way on both sides.
func TestNext13(t *testing.T) {
	a := NewSecret(crypto.SHA384, bytes.Repeat([]byte{7}, 48))
	b := a
	first := bytes.Clone(a.Bytes())
	a, b = a.Next(), b.Next()
	if bytes.Equal(a.Bytes(), first) || !bytes.Equal(a.Bytes(), b.Bytes()) || len(a.Bytes()) != 48 {
		t.Errorf("after an update: %x and %x, before it %x", a.Bytes(), b.Bytes(), first)
	}
}

func TestMessageHash(t *testing.T) {
	got := MessageHash(crypto.SHA256, []byte("abc"))
	want := unhex(t, "fe000020 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestShares: in every group client and server agree, whatever the randomness; the same randomness
// gives the same bytes, and what is no key of the group is refused.
func TestShares(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1) // proves that nothing is drawn behind our back: see the repeat below
	for _, g := range Groups() {
		client, err := GenerateShare(g, bytes.NewReader(bytes.Repeat([]byte{0x5a, 3, 9}, 100)))
		if err != nil {
			t.Fatalf("%v: %v", g, err)
		}
		var last []byte
		for range 2 {
			public, secret, err := Respond(g, client.Public(), bytes.NewReader(bytes.Repeat([]byte{0x21, 8}, 100)))
			if err != nil {
				t.Fatalf("%v: %v", g, err)
			}
			mine, err := client.Agree(nil, public)
			if err != nil || !bytes.Equal(mine, secret) {
				t.Errorf("%v: client has %x, server %x (%v)", g, mine, secret, err)
			}
			if last != nil && !bytes.Equal(last, public) {
				t.Errorf("%v: the same randomness gave %x and %x", g, last, public)
			}
			last = public
		}
		for _, bad := range [][]byte{nil, last[:len(last)-1], append(bytes.Clone(last), 0), make([]byte, len(last))} {
			if _, err := client.Agree(nil, bad); err == nil {
				t.Errorf("%v: the client accepted a share of %d bytes that is none", g, len(bad))
			}
		}
		if _, _, err := Respond(g, make([]byte, len(client.Public())), bytes.NewReader(make([]byte, 300))); err == nil {
			t.Errorf("%v: the server accepted a share of zeroes", g)
		}
	}
	if _, err := GenerateShare(wire.X25519Kyber768, bytes.NewReader(make([]byte, 300))); err == nil {
		t.Error("the Kyber draft is offered by profiles and never agreed on")
	}
}

// FuzzAgree: any bytes as the peer's share give a secret or an error, in every group.
func FuzzAgree(f *testing.F) {
	for i, g := range Groups() {
		s, err := GenerateShare(g, bytes.NewReader(bytes.Repeat([]byte{byte(i), 7}, 100)))
		if err != nil {
			f.Fatal(err)
		}
		public, _, err := Respond(g, s.Public(), bytes.NewReader(bytes.Repeat([]byte{3}, 200)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), public)
	}
	f.Fuzz(func(t *testing.T, which uint8, peer []byte) {
		g := Groups()[int(which)%len(Groups())]
		s, err := GenerateShare(g, bytes.NewReader(bytes.Repeat([]byte{9, 7}, 100)))
		if err != nil {
			t.Fatal(err)
		}
		if secret, err := s.Agree(nil, peer); (err == nil) == (secret == nil) {
			t.Errorf("%v: secret %x and error %v", g, secret, err)
		}
	})
}

func BenchmarkGenerateShare(b *testing.B) {
	for _, g := range Groups() {
		b.Run(g.String(), func(b *testing.B) {
			b.ReportAllocs()
			random := bytes.Repeat([]byte{0x5a, 3, 9}, 100)
			for b.Loop() {
				if _, err := GenerateShare(g, bytes.NewReader(random)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAgree(b *testing.B) {
	for _, g := range Groups() {
		b.Run(g.String(), func(b *testing.B) {
			s, err := GenerateShare(g, bytes.NewReader(bytes.Repeat([]byte{9, 7}, 100)))
			if err != nil {
				b.Fatal(err)
			}
			public, _, err := Respond(g, s.Public(), bytes.NewReader(bytes.Repeat([]byte{3}, 200)))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var secret [64]byte
			for b.Loop() {
				if _, err := s.Agree(secret[:0], public); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
