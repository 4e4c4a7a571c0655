package keys

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"tlsurge/profiles/wire"
)

// Published vectors of TLS 1.2's PRF: the IETF TLS list's of 2009 for SHA-256 and SHA-384. Those of TLS 1.0
// and SSL 3.0 were computed from the RFCs' formulas with another language's primitives.
func TestPRF(t *testing.T) {
	upto := func(from, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(from + i)
		}
		return b
	}
	for _, v := range []struct {
		why          string
		hash         crypto.Hash
		secret, seed []byte
		label, want  string
	}{
		{"TLS 1.2, SHA-256", crypto.SHA256, unhex(t, "9bbe436ba940f017b17652849a71db35"), unhex(t, "a0ba9f936cda311827a6f796ffd5198c"), "test label",
			"e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"},
		{"TLS 1.2, SHA-384", crypto.SHA384, unhex(t, "b80b733d6ceefcdc71566ea48e5567df"), unhex(t, "cd665cf6a8447dd6ff8b27555edb7465"), "test label",
			"7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f"},
		{"TLS 1.0, a secret of even length", crypto.MD5SHA1, upto(0, 48), upto(100, 64), "key expansion",
			"7c2a8c1e1e7756ec8bc5c0448a030fe12d127c89b9eb1e0718f45abbfa9de22ebcadc4b01bdecddbdc4a2db401ed44183c73e1d5eab2fd9c329d090d3f0d9a574c1c0a05f4d0273996c3c1f362a6a580a4ccefcb4cc6ee4a5482bafbe3099802b24beba0a87c0b36"},
		{"TLS 1.0, odd: the halves share a byte", crypto.MD5SHA1, upto(0, 47), upto(100, 64), "key expansion",
			"b2318ddf6d7672a132c0bcad231569dc85fbe89ae6f8648331e0b0ded34cd90d10aafba6142d37159c8355776e4130a25ea41f8e942df53093bea61f6cd624c891fcbbea4aa6e2bb91e217299fac33645166c014e503dfd2616de70f234925a0b69f86d2730aa764"},
	} {
		got := make([]byte, len(v.want)/2)
		p := NewPRF(v.hash, v.secret)
		p.Expand(got, []byte(v.label), v.seed[:5], v.seed[5:])
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%s:\n got %x\nwant %s", v.why, got, v.want)
		}
	}
	want := "1d951449ec9a55924fd25a084453fa6ca42dda4dd43958a820699ee5b6cc833f3dd559abf64d2a6194cd998b25a775836d2d8458267ea545e0015e34811dfe8a4e6f2a5ba63bd0a852f9ed6daefc1e5dcb5caa5bb4116696e412049c7d8c28f67e6c40b614513ab4"
	got := make([]byte, 104)
	prf30(got, upto(0, 48), upto(100, 64)[:9], upto(100, 64)[9:])
	if hex.EncodeToString(got) != want {
		t.Errorf("SSL 3.0:\n got %x\nwant %s", got, want)
	}
}

// NIST CAVP, TLS 1.2 KDF with SHA-256, first vector: master secret and key block.
func TestMasterAndKeyBlock(t *testing.T) {
	premaster := unhex(t, "f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc")
	m := Master(wire.TLS12, crypto.SHA256, premaster,
		unhex(t, "36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c"),
		unhex(t, "f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce"))
	if want := "202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf"; hex.EncodeToString(m[:]) != want {
		t.Fatalf("master secret %x, want %s", m, want)
	}
	block := "d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928"
	client, server := Key(wire.TLS12, crypto.SHA256, &m).KeyBlock(Lookup12(wire.TLS_RSA_WITH_AES_128_CBC_SHA256),
		unhex(t, "62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616"),
		unhex(t, "ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868"))
	got := bytes.Join([][]byte{client.MAC, server.MAC, client.Key, server.Key, client.IV, server.IV}, nil)
	if hex.EncodeToString(got) != block {
		t.Fatalf("key block %x, want %s", got, block)
	}
}

func TestExtendedMaster(t *testing.T) {
	// The law of RFC 7627 §4: the PRF over another label and the session hash alone.
	h := bytes.Repeat([]byte{3}, 32)
	got := ExtendedMaster(crypto.SHA256, []byte("premaster"), h)
	want := make([]byte, 48)
	p := NewPRF(crypto.SHA256, []byte("premaster"))
	p.Expand(want, []byte("extended master secret"), h, nil)
	if !bytes.Equal(got[:], want) {
		t.Fatalf("%x, want %x", got, want)
	}
}

// The Finished of SSL 3.0 against its formula, spelt out once more.
func TestFinished30(t *testing.T) {
	master := bytes.Repeat([]byte{7}, 48)
	messages := []byte("all the handshake messages")
	run := func(pad byte, n int) []byte { return bytes.Repeat([]byte{pad}, n) }
	m1 := md5.Sum(bytes.Join([][]byte{messages, []byte("CLNT"), master, run(0x36, 48)}, nil))
	m2 := md5.Sum(bytes.Join([][]byte{master, run(0x5c, 48), m1[:]}, nil))
	s1 := sha1.Sum(bytes.Join([][]byte{messages, []byte("CLNT"), master, run(0x36, 40)}, nil))
	s2 := sha1.Sum(bytes.Join([][]byte{master, run(0x5c, 40), s1[:]}, nil))
	a, b := md5.New(), sha1.New()
	a.Write(messages)
	b.Write(messages)
	if got := Finished30(nil, master, a, b, true); !bytes.Equal(got, append(m2[:], s2[:]...)) {
		t.Fatalf("%x", got)
	}
}

// The groups' primes end and begin as the RFCs print them, and are safe primes.
func TestDHGroups(t *testing.T) {
	for bits, tail := range map[int]string{
		1024: "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff",
		2048: "15728e5a8aacaa68ffffffffffffffff",
	} {
		g := DHGroupOf(bits)
		p := new(big.Int).SetBytes(g.P)
		if p.BitLen() != bits || !bytes.HasSuffix(g.P, unhex(t, tail)) || !bytes.HasPrefix(g.P, unhex(t, "ffffffffffffffffc90fdaa22168c234")) {
			t.Errorf("%d bits: %x", bits, g.P)
		}
		if half := new(big.Int).Rsh(p, 1); !p.ProbablyPrime(8) || !half.ProbablyPrime(8) {
			t.Errorf("%d bits: not a safe prime", bits)
		}
	}
}

func TestDHAgreement(t *testing.T) {
	g := DHGroupOf(1024)
	a, err := GenerateDH(g.P, g.G, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := GenerateDH(g.P, g.G, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	za, err := a.Agree(b.Y)
	if err != nil {
		t.Fatal(err)
	}
	zb, err := b.Agree(a.Y)
	if err != nil || !bytes.Equal(za, zb) {
		t.Fatalf("the two sides disagree (%v)", err)
	}
	for _, bad := range [][]byte{nil, {0}, {1}, g.P, new(big.Int).Sub(new(big.Int).SetBytes(g.P), big.NewInt(1)).Bytes()} {
		if _, err := a.Agree(bad); !errors.Is(err, ErrDHValue) {
			t.Errorf("value %x: %v, want %v", bad, err, ErrDHValue)
		}
	}
	if _, err := GenerateDH([]byte{0x17}, []byte{2}, rand.Reader); !errors.Is(err, ErrDHValue) {
		t.Errorf("a group of 5 bits: %v", err)
	}
}

// EncryptRSA is what crypto/rsa decrypts, and the same source gives the same ciphertext.
func TestEncryptRSA(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	msg := bytes.Repeat([]byte{9}, 48)
	a, err := EncryptRSA(&key.PublicKey, msg, bytes.NewReader(make([]byte, 128)))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := EncryptRSA(&key.PublicKey, msg, bytes.NewReader(make([]byte, 128)))
	if !bytes.Equal(a, b) {
		t.Fatal("two ciphertexts from one source differ")
	}
	if got, err := rsa.DecryptPKCS1v15(nil, key, a); err != nil || !bytes.Equal(got, msg) {
		t.Fatalf("%x, %v", got, err)
	}
	if _, err := EncryptRSA(&key.PublicKey, make([]byte, 118), bytes.NewReader(make([]byte, 128))); err == nil {
		t.Fatal("118 bytes fit a key of 128")
	}
}

// The table is sorted, which Lookup12 needs, and every row is consistent.
func TestSuiteTable(t *testing.T) {
	for i, s := range suites12 {
		if i > 0 && suites12[i-1].ID >= s.ID {
			t.Errorf("%v stands out of order", s.ID)
		}
		if Lookup12(s.ID) != &suites12[i] {
			t.Errorf("Lookup12(%v) finds another row", s.ID)
		}
		if s.AEAD() != (s.MAC == 0) {
			t.Errorf("%v: AEAD %v with MAC %v", s.ID, s.AEAD(), s.MAC)
		}
	}
	if Lookup12(0x0041) != nil || Lookup12(wire.FallbackSCSV) != nil || Lookup12(0xffff) != nil {
		t.Error("a suite without primitives was found")
	}
}
