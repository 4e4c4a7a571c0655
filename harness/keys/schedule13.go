package keys

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"

	"tlsurge/profiles/wire"
)

// Secret is one secret of the TLS 1.3 key schedule. It is a value, so that the secrets of a connection
// live inside the connection; the hash it belongs to travels with it.
type Secret struct {
	hash crypto.Hash // 0: no secret
	b    [48]byte    // the first hash.Size() bytes count
}

// NewSecret makes a secret of suite hash h from its bytes.
func NewSecret(h crypto.Hash, b []byte) Secret {
	s := Secret{hash: h}
	copy(s.b[:h.Size()], b)
	return s
}

// Bytes gives the secret's bytes; they alias s.
func (s *Secret) Bytes() []byte {
	if s.hash == 0 {
		return nil
	}
	return s.b[:s.hash.Size()]
}

// IsZero says whether s holds no secret.
func (s *Secret) IsZero() bool { return s.hash == 0 }

// The labels of RFC 8446 §7.1, Key Schedule.
const (
	LabelExternalBinder   = "ext binder"
	LabelResumptionBinder = "res binder"
	LabelClientEarly      = "c e traffic"
	LabelEarlyExporter    = "e exp master"
	LabelClientHandshake  = "c hs traffic"
	LabelServerHandshake  = "s hs traffic"
	LabelClientTraffic    = "c ap traffic"
	LabelServerTraffic    = "s ap traffic"
	LabelExporter         = "exp master"
	LabelResumption       = "res master"

	labelDerived    = "derived"
	labelKey        = "key"
	labelIV         = "iv"
	labelFinished   = "finished"
	labelUpdate     = "traffic upd"
	labelResumption = "resumption"
	labelExporter   = "exporter"
)

// Schedule13 walks down the key schedule of RFC 8446 §7.1: early, handshake, master secret. Derive
// gives the secrets of the level where it stands.
type Schedule13 struct {
	current Secret
	bare    bool // the early secret without a PSK: a constant
}

// StartSchedule13 gives the schedule at the early secret; psk is nil without one.
//
//	"if a given secret is not available, then the 0-value consisting of a string of Hash.length bytes
//	set to zeros is used"
func StartSchedule13(h crypto.Hash, psk []byte) Schedule13 {
	if psk == nil {
		return Schedule13{current: bareOf(h).early, bare: true}
	}
	return Schedule13{current: extract(h, zeros[:h.Size()], psk)}
}

// Handshake goes from the early to the handshake secret; shared is the (EC)DHE secret.
func (s *Schedule13) Handshake(shared []byte) { s.step(shared) }

// Master goes from the handshake to the master secret.
func (s *Schedule13) Master() { s.step(zeros[:s.current.hash.Size()]) }

func (s *Schedule13) step(input []byte) {
	var derived Secret
	if s.bare {
		derived = bareOf(s.current.hash).derived
	} else {
		derived = s.Derive(labelDerived, nil)
	}
	s.current, s.bare = extract(s.current.hash, derived.Bytes(), input), false
}

// bare is what the schedule begins with where there is no PSK.
type bare struct{ early, derived Secret }

var bare256, bare384 = makeBare(crypto.SHA256), makeBare(crypto.SHA384)

func makeBare(h crypto.Hash) bare {
	s := Schedule13{current: extract(h, zeros[:h.Size()], zeros[:h.Size()])}
	return bare{early: s.current, derived: s.Derive(labelDerived, nil)}
}

func bareOf(h crypto.Hash) *bare {
	if h == crypto.SHA384 {
		return &bare384
	}
	return &bare256
}

// Derive is Derive-Secret with a transcript hash that the caller has computed; for the binder labels
// that is the hash of nothing, and transcript may be nil.
func (s *Schedule13) Derive(label string, transcript []byte) Secret {
	h := s.current.hash
	if transcript == nil {
		transcript = emptyHash(h)
	}
	e, out := s.current.expander(), Secret{hash: h}
	e.label(out.b[:h.Size()], label, transcript)
	return out
}

// Key derives the traffic key and IV of a traffic secret (RFC 8446 §7.3, Traffic Key Calculation).
func (s *Secret) Key(keyLen int) (key [32]byte, iv [12]byte) {
	e := s.expander()
	e.label(key[:keyLen], labelKey, nil)
	e.label(iv[:], labelIV, nil)
	return key, iv
}

// Next is the traffic secret after a KeyUpdate (RFC 8446 §7.2, Updating Traffic Secrets).
func (s *Secret) Next() Secret {
	e, out := s.expander(), Secret{hash: s.hash}
	e.label(out.b[:s.hash.Size()], labelUpdate, nil)
	return out
}

// AppendVerifyData appends the MAC of a Finished message, and of a PSK binder, whose base key is s
// (RFC 8446 §4.4.4, Finished; §4.2.11.2, PSK Binder).
func (s *Secret) AppendVerifyData(dst, transcript []byte) []byte {
	e, key := s.expander(), Secret{hash: s.hash}
	e.label(key.b[:s.hash.Size()], labelFinished, nil)
	m := newMAC(s.hash, key.Bytes())
	return m.sum(dst, transcript)
}

// Verify compares verify_data of the peer with what s asks for.
func (s *Secret) Verify(transcript, verifyData []byte) bool {
	var room [48]byte
	return subtle.ConstantTimeCompare(s.AppendVerifyData(room[:0], transcript), verifyData) == 1
}

// PSK is the pre-shared key that a ticket with this nonce stands for, when s is the resumption master
// secret (RFC 8446 §4.6.1, New Session Ticket Message).
func (s *Secret) PSK(nonce []byte) []byte {
	e, out := s.expander(), make([]byte, s.hash.Size())
	e.label(out, labelResumption, nonce)
	return out
}

// Export is the exporter of RFC 8446 §7.5, when s is the exporter master secret.
func (s *Secret) Export(label string, context []byte, length int) []byte {
	e, inner := s.expander(), Secret{hash: s.hash}
	e.label(inner.b[:s.hash.Size()], label, emptyHash(s.hash))
	e, out := inner.expander(), make([]byte, length)
	e.label(out, labelExporter, sum(s.hash, context))
	return out
}

// MessageHash is the synthetic message that replaces the first ClientHello in the transcript after a
// HelloRetryRequest (RFC 8446 §4.4.1, The Transcript Hash).
func MessageHash(h crypto.Hash, firstHello []byte) []byte {
	m := make([]byte, 0, 4+h.Size())
	m = append(m, byte(wire.TypeMessageHash), 0, 0, byte(h.Size()))
	return append(m, sum(h, firstHello)...)
}

// extract is HKDF-Extract (RFC 5869 §2.2): HMAC under the salt.
func extract(h crypto.Hash, salt, input []byte) Secret {
	m := newMAC(h, salt)
	out := Secret{hash: h}
	m.sum(out.b[:0], input)
	return out
}

// expander is HKDF-Expand-Label under one secret (RFC 8446 §7.1, RFC 5869 §2.3).
//
//	T(n) = HMAC(secret, T(n-1) | HkdfLabel | n)
//	HkdfLabel = uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>
type expander struct{ mac mac }

func (s *Secret) expander() expander { return expander{newMAC(s.hash, s.Bytes())} }

// label fills out.
func (e *expander) label(out []byte, label string, context []byte) {
	const prefix = "tls13 "
	var room [96]byte // for every label of the schedule; an exporter's may be longer
	info := append(room[:0], byte(len(out)>>8), byte(len(out)), byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	info = append(info, 0)
	var block [64]byte
	prev := block[:0]
	for n := byte(1); len(out) > 0; n++ {
		info[len(info)-1] = n
		prev = e.mac.sum(block[:0], prev, info)
		out = out[copy(out, prev):]
	}
}

func sum(h crypto.Hash, b []byte) []byte { return appendHash(nil, h, b) }

// zeros stands for absent inputs; emptyHash256 and emptyHash384 are the transcript of nothing.
var (
	zeros        [48]byte
	emptyHash256 = sha256.Sum256(nil)
	emptyHash384 = sha512.Sum384(nil)
)

func emptyHash(h crypto.Hash) []byte {
	if h == crypto.SHA384 {
		return emptyHash384[:]
	}
	return emptyHash256[:]
}
