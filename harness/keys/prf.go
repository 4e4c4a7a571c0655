package keys

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"hash"

	"tlsurge/profiles/wire"
)

// The labels of the PRF (RFC 5246 §6.3, §7.4.9, §8.1; RFC 7627 §4).
var (
	labelMasterSecret         = []byte("master secret")
	labelExtendedMasterSecret = []byte("extended master secret")
	labelKeyExpansion         = []byte("key expansion")
	labelClientFinished       = []byte("client finished")
	labelServerFinished       = []byte("server finished")
)

// MasterLen is the length of a master secret of any version up to TLS 1.2.
const MasterLen = 48

// PRF is TLS's pseudorandom function under one secret: of TLS 1.2 with one hash (RFC 5246 §5), or that of
// TLS 1.0 and 1.1, which mixes MD5 and SHA-1 (RFC 2246 §5).
type PRF struct {
	first, second mac // second: SHA-1, where first is MD5
	mixed         bool
}

// NewPRF keys the function; h is crypto.MD5SHA1 for TLS 1.1 and below.
func NewPRF(h crypto.Hash, secret []byte) PRF {
	if h != crypto.MD5SHA1 {
		return PRF{first: newMAC(h, secret)}
	}
	// "S1 and S2 are the two halves of the secret ... S1 is taken from the first half ... with a possibly
	// shared byte if the length is odd" (RFC 2246 §5, HMAC and the pseudorandom function)
	half := (len(secret) + 1) / 2
	return PRF{first: newMAC(crypto.MD5, secret[:half]), second: newMAC(crypto.SHA1, secret[len(secret)-half:]), mixed: true}
}

// Expand fills out. The seed comes in two parts to save a copy.
func (p *PRF) Expand(out, label, seed1, seed2 []byte) {
	clear(out)
	pHash(&p.first, out, label, seed1, seed2)
	if p.mixed {
		pHash(&p.second, out, label, seed1, seed2)
	}
}

// pHash is P_hash (RFC 5246 §5), XORed into out:
//
//	P_hash(secret, seed) = HMAC_hash(secret, A(1) + seed) + HMAC_hash(secret, A(2) + seed) + ...
func pHash(m *mac, out, label, seed1, seed2 []byte) {
	var roomA, room [maxSize]byte
	a := m.sum(roomA[:0], label, seed1, seed2)
	for {
		block := m.sum(room[:0], a, label, seed1, seed2)
		out = out[subtle.XORBytes(out, out, block):]
		if len(out) == 0 {
			return
		}
		a = m.sum(roomA[:0], a)
	}
}

// prf30 is the key derivation of SSL 3.0 (RFC 6101 §6.1 and §6.2.2):
//
//	MD5(secret + SHA('A' + secret + seed)) + MD5(secret + SHA('BB' + secret + seed)) + ...
func prf30(out, secret, seed1, seed2 []byte) {
	m, s := md5.New(), sha1.New()
	var inner [sha1.Size]byte
	var block [md5.Size]byte
	var salt [26]byte
	for i := 0; len(out) > 0; i++ {
		for j := 0; j <= i; j++ {
			salt[j] = 'A' + byte(i)
		}
		s.Reset()
		s.Write(salt[:i+1])
		s.Write(secret)
		s.Write(seed1)
		s.Write(seed2)
		m.Reset()
		m.Write(secret)
		m.Write(s.Sum(inner[:0]))
		out = out[copy(out, m.Sum(block[:0])):]
	}
}

// Master derives the master secret from the premaster secret and both randoms.
func Master(v wire.Version, h crypto.Hash, premaster, clientRandom, serverRandom []byte) (m [MasterLen]byte) {
	if v == wire.SSL30 {
		prf30(m[:], premaster, clientRandom, serverRandom)
	} else {
		p := NewPRF(h, premaster)
		p.Expand(m[:], labelMasterSecret, clientRandom, serverRandom)
	}
	return m
}

// ExtendedMaster derives it from the session hash instead of the randoms (RFC 7627 §4, The Extended
// Master Secret).
func ExtendedMaster(h crypto.Hash, premaster, sessionHash []byte) (m [MasterLen]byte) {
	p := NewPRF(h, premaster)
	p.Expand(m[:], labelExtendedMasterSecret, sessionHash, nil)
	return m
}

// DirectionKeys are what one direction's cipher is made of. Slices alias the key block.
type DirectionKeys struct{ MAC, Key, IV []byte }

// Keyed is a master secret ready to derive from.
type Keyed struct {
	version wire.Version
	hash    crypto.Hash
	master  [MasterLen]byte
	block   [2 * (48 + 32 + 16)]byte
}

// Key prepares a master secret; h is the suite's hash at version v (Suite12.Hash).
func Key(v wire.Version, h crypto.Hash, master *[MasterLen]byte) *Keyed {
	k := &Keyed{}
	k.Start(v, h, master)
	return k
}

// Start is Key in memory that is there already.
func (k *Keyed) Start(v wire.Version, h crypto.Hash, master *[MasterLen]byte) {
	k.version, k.hash, k.master = v, h, *master
}

// KeyBlock derives the key block and cuts it (RFC 5246 §6.3, Key Calculation):
//
//	client MAC | server MAC | client key | server key | client IV | server IV
//
// TLS 1.1 and 1.2 have no IVs in it under CBC, but deriving them costs nothing. The slices live as long
// as k and until the next call.
func (k *Keyed) KeyBlock(s *Suite12, clientRandom, serverRandom []byte) (client, server DirectionKeys) {
	mac, key, iv := s.MACLen(), s.KeyLen, s.IVLen
	block := k.block[:2*(mac+key+iv)]
	if k.version == wire.SSL30 {
		prf30(block, k.master[:], serverRandom, clientRandom)
	} else {
		p := NewPRF(k.hash, k.master[:])
		p.Expand(block, labelKeyExpansion, serverRandom, clientRandom)
	}
	client.MAC, server.MAC, block = block[:mac], block[mac:2*mac], block[2*mac:]
	client.Key, server.Key, block = block[:key], block[key:2*key], block[2*key:]
	client.IV, server.IV = block[:iv], block[iv:]
	return client, server
}

// Finished appends verify_data of TLS: 12 bytes (RFC 5246 §7.4.9). transcript is the hash of the messages
// so far. SSL 3.0 has Finished30 instead.
func (k *Keyed) Finished(dst, transcript []byte, fromClient bool) []byte {
	label := labelServerFinished
	if fromClient {
		label = labelClientFinished
	}
	n := len(dst)
	dst = append(dst, make([]byte, 12)...)
	p := NewPRF(k.hash, k.master[:])
	p.Expand(dst[n:], label, transcript, nil)
	return dst
}

// Export is the PRF over a caller's label (RFC 5705 §4, Exporter Definition).
func (k *Keyed) Export(label string, seed []byte, length int) []byte {
	out := make([]byte, length)
	if length > 0 {
		p := NewPRF(k.hash, k.master[:])
		p.Expand(out, []byte(label), seed, nil)
	}
	return out
}

// Senders of SSL 3.0's Finished (RFC 6101 §5.6.9).
var (
	senderClient = []byte("CLNT")
	senderServer = []byte("SRVR")
)

// Finished30 is SSL 3.0's verify_data, 36 bytes, over the messages so far:
//
//	hash(master + pad2 + hash(messages + Sender + master + pad1)), MD5 then SHA
//
// md5sum and sha1sum are the running hashes; they are consumed.
func Finished30(dst []byte, master []byte, md5sum, sha1sum hash.Hash, fromClient bool) []byte {
	sender := senderServer
	if fromClient {
		sender = senderClient
	}
	return hash30(dst, master, md5sum, sha1sum, sender)
}

// CertVerify30 is the pair of hashes that SSL 3.0's CertificateVerify signs (RFC 6101 §5.6.8).
func CertVerify30(dst []byte, master []byte, md5sum, sha1sum hash.Hash) []byte {
	return hash30(dst, master, md5sum, sha1sum, nil)
}

func hash30(dst []byte, master []byte, md5sum, sha1sum hash.Hash, sender []byte) []byte {
	for _, d := range [2]struct {
		inner, outer hash.Hash
		pad          int
	}{{md5sum, md5.New(), 48}, {sha1sum, sha1.New(), 40}} {
		d.inner.Write(sender)
		d.inner.Write(master)
		d.inner.Write(pad30(pad1, d.pad))
		d.outer.Write(master)
		d.outer.Write(pad30(pad2, d.pad))
		d.outer.Write(d.inner.Sum(nil))
		dst = d.outer.Sum(dst)
	}
	return dst
}

// The paddings of SSL 3.0's MAC (RFC 6101 §5.2.3.1): 48 bytes for MD5, 40 for SHA.
const (
	pad1 = 0x36
	pad2 = 0x5c
)

var pads30 = func() (p [2][48]byte) {
	for i := range p[0] {
		p[0][i], p[1][i] = pad1, pad2
	}
	return p
}()

func pad30(b byte, n int) []byte {
	if b == pad1 {
		return pads30[0][:n]
	}
	return pads30[1][:n]
}
