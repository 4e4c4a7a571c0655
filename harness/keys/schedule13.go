package keys

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
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
type Schedule13 struct{ current Secret }

// StartSchedule13 gives the schedule at the early secret; psk is nil without one.
//
//	"if a given secret is not available, then the 0-value consisting of a string of Hash.length bytes
//	set to zeros is used"
func StartSchedule13(h crypto.Hash, psk []byte) Schedule13 {
	var zero [48]byte
	if psk == nil {
		psk = zero[:h.Size()]
	}
	return Schedule13{current: extract(h, nil, psk)}
}

// Handshake goes from the early to the handshake secret; shared is the (EC)DHE secret.
func (s *Schedule13) Handshake(shared []byte) { s.step(shared) }

// Master goes from the handshake to the master secret.
func (s *Schedule13) Master() {
	var zero [48]byte
	s.step(zero[:s.current.hash.Size()])
}

func (s *Schedule13) step(input []byte) {
	h := s.current.hash
	derived := deriveSecret(&s.current, labelDerived, emptyHash(h))
	s.current = extract(h, derived.Bytes(), input)
}

// Derive is Derive-Secret with a transcript hash that the caller has computed; for the binder labels
// that is the hash of nothing, and transcript may be nil.
func (s *Schedule13) Derive(label string, transcript []byte) Secret {
	if transcript == nil {
		transcript = emptyHash(s.current.hash)
	}
	return deriveSecret(&s.current, label, transcript)
}

// Key derives the traffic key and IV of a traffic secret (RFC 8446 §7.3, Traffic Key Calculation).
func (s *Secret) Key(keyLen int) (key [32]byte, iv [12]byte) {
	copy(key[:keyLen], expandLabel(s, labelKey, nil, keyLen))
	copy(iv[:], expandLabel(s, labelIV, nil, len(iv)))
	return key, iv
}

// Next is the traffic secret after a KeyUpdate (RFC 8446 §7.2, Updating Traffic Secrets).
func (s *Secret) Next() Secret {
	return NewSecret(s.hash, expandLabel(s, labelUpdate, nil, s.hash.Size()))
}

// VerifyData is the MAC of a Finished message, and of a PSK binder, whose base key is s
// (RFC 8446 §4.4.4, Finished; §4.2.11.2, PSK Binder).
func (s *Secret) VerifyData(transcript []byte) []byte {
	key := expandLabel(s, labelFinished, nil, s.hash.Size())
	mac := hmac.New(s.hash.New, key)
	mac.Write(transcript)
	return mac.Sum(nil)
}

// Verify compares verify_data of the peer with what s asks for.
func (s *Secret) Verify(transcript, verifyData []byte) bool {
	return subtle.ConstantTimeCompare(s.VerifyData(transcript), verifyData) == 1
}

// PSK is the pre-shared key that a ticket with this nonce stands for, when s is the resumption master
// secret (RFC 8446 §4.6.1, New Session Ticket Message).
func (s *Secret) PSK(nonce []byte) []byte {
	return expandLabel(s, labelResumption, nonce, s.hash.Size())
}

// Export is the exporter of RFC 8446 §7.5, when s is the exporter master secret.
func (s *Secret) Export(label string, context []byte, length int) []byte {
	inner := deriveSecret(s, label, emptyHash(s.hash))
	return expandLabel(&inner, labelExporter, sum(s.hash, context), length)
}

// MessageHash is the synthetic message that replaces the first ClientHello in the transcript after a
// HelloRetryRequest (RFC 8446 §4.4.1, The Transcript Hash).
func MessageHash(h crypto.Hash, firstHello []byte) []byte {
	m := make([]byte, 0, 4+h.Size())
	m = append(m, byte(wire.TypeMessageHash), 0, 0, byte(h.Size()))
	return append(m, sum(h, firstHello)...)
}

func deriveSecret(s *Secret, label string, transcript []byte) Secret {
	return NewSecret(s.hash, expandLabel(s, label, transcript, s.hash.Size()))
}

func extract(h crypto.Hash, salt, input []byte) Secret {
	// hkdf.Extract fails for no input that reaches it here: it refuses short keys in FIPS-only mode.
	b, err := hkdf.Extract(h.New, input, salt)
	if err != nil {
		panic("keys: HKDF-Extract: " + err.Error())
	}
	return NewSecret(h, b)
}

// expandLabel is HKDF-Expand-Label. HkdfLabel is
//
//	uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>
func expandLabel(s *Secret, label string, context []byte, length int) []byte {
	const prefix = "tls13 "
	var buf [2 + 1 + 255 + 1 + 255]byte
	info := append(buf[:0], byte(length>>8), byte(length), byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, byte(len(context)))
	info = append(info, context...)
	out, err := hkdf.Expand(s.hash.New, s.Bytes(), string(info), length)
	if err != nil {
		panic("keys: HKDF-Expand: " + err.Error()) // length is a hash's or a key's, far below 255 blocks
	}
	return out
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

func emptyHash(h crypto.Hash) []byte { return sum(h, nil) }
