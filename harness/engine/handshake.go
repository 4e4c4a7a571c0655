package engine

import (
	"crypto"
	"fmt"
	"hash"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// handshake is everything that dies when a handshake is complete.
type handshake struct {
	hello        *hello.ClientHello
	transcript   transcript
	clientRandom [32]byte
	serverRandom [32]byte
	session      *Session // offered (client) or found (server)
	resumed      bool
	renegotiated bool // this is not the connection's first handshake

	// SSL 3.0 to TLS 1.2.
	suite     *keys.Suite12
	sessionID []byte // the ServerHello's
	master    [keys.MasterLen]byte
	keyed     keys.Keyed // master, once the key block was derived
	digest    [64]byte   // scratch for transcript hashes
	verify    [36]byte   // scratch for verify_data
	ticket    []byte     // client: from NewSessionTicket
	hint      uint32
	mayResume bool // client: the next message tells whether a ticket was taken
	wantNST   bool // NewSessionTicket is promised
	wantOCSP  bool
	wantNPN   bool
	sawSKE    bool
	npn       [][]byte // client: what the server advertised
	peerKey   crypto.PublicKey
	chain     [3][]byte // room for the certificates of a TLS 1.3 peer
	skipCheck bool      // the verification policy lets this handshake's signature pass unchecked
	group     wire.Group
	peerShare []byte   // client: the server's point or Ys
	peerRoom  [65]byte // where peerShare begins: enough for X25519 and P-256
	kx        [66]byte // where a client's ClientKeyExchange begins, likewise
	dhP, dhG  []byte   // client: the server's group
	share     *keys.Share
	dh        *keys.DHKey
	request   *wire.CertificateRequest12
	cert      *Certificate // what we present
	config    *ServerConfig
	nextRead  record.Half // becomes the read half at ChangeCipherSpec
	nextWrite record.Half
	scratch   []byte    // handshake messages are built here
	room      [192]byte // where scratch begins: enough for all that a client sends
	outRoom   [192]byte // where a client's second flight begins

	h13 *handshake13
}

// unexpected is a legal message in a place where this handshake has no use for it.
func (c *Conn) unexpected(what any) error {
	return fmt.Errorf("%w: %v in %v", ErrUnexpectedMessage, what, c.state)
}

// suiteHash is the hash of PRF and transcript.
func (c *Conn) suiteHash() crypto.Hash { return c.hs.suite.Hash(c.facts.Version) }

// setVersion fixes version and suite of the 1.0-1.2 family.
func (c *Conn) setVersion(v wire.Version, s *keys.Suite12) {
	c.family = family12
	c.outVersion = v
	c.facts.Version, c.facts.Suite, c.facts.cbc = v, s.ID, s.CBC()
	c.hs.suite = s
}

// deriveMaster turns the premaster secret into the master secret; with extended_master_secret it must
// be called when the transcript ends with ClientKeyExchange (RFC 7627 §3, The TLS Session Hash).
func (c *Conn) deriveMaster(premaster []byte) {
	hs := c.hs
	if c.facts.EMS {
		hs.master = keys.ExtendedMaster(c.suiteHash(), premaster, hs.transcript.sum(hs.digest[:0]))
	} else {
		hs.master = keys.Master(c.facts.Version, c.suiteHash(), premaster, hs.clientRandom[:], hs.serverRandom[:])
	}
	c.logKey("CLIENT_RANDOM", hs.master[:])
}

// deriveKeys makes both directions' protection, to be switched on at ChangeCipherSpec.
func (c *Conn) deriveKeys() {
	hs, v := c.hs, c.facts.Version
	hs.keyed.Start(v, c.suiteHash(), &hs.master)
	client, server := hs.keyed.KeyBlock(hs.suite, hs.clientRandom[:], hs.serverRandom[:])
	ours, theirs := server, client
	if c.isClient {
		ours, theirs = client, server
	}
	hs.nextWrite = record.New12(hs.suite, v, ours, c.facts.EtM, true, c.rand())
	hs.nextRead = record.New12(hs.suite, v, theirs, c.facts.EtM, false, nil)
}

// verifyData is the content of a Finished over the transcript so far, valid until it is asked for again.
func (c *Conn) verifyData(fromClient bool) []byte {
	hs := c.hs
	if c.facts.Version == wire.SSL30 {
		return keys.Finished30(hs.verify[:0], hs.master[:], cloneHash(hs.transcript.md5), cloneHash(hs.transcript.sha1), fromClient)
	}
	return hs.keyed.Finished(hs.verify[:0], hs.transcript.sum(hs.digest[:0]), fromClient)
}

// cloneHash copies a running hash; MD5 and SHA-1 of the standard library can be cloned.
func cloneHash(h hash.Hash) hash.Hash {
	d, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("engine: " + err.Error())
	}
	return d
}

// sendChangeAndFinished sends ChangeCipherSpec, switches the write keys, and sends Finished. between is
// called behind the switch (NextProtocol goes there).
func (c *Conn) sendChangeAndFinished(between func()) {
	hs := c.hs
	c.sendCCS()
	c.setWrite(hs.nextWrite)
	if between != nil {
		between()
	}
	vd := c.verifyData(c.isClient)
	c.keepFinished(vd, c.isClient)
	hs.scratch = wire.AppendOpaqueMessage(hs.scratch[:0], wire.TypeFinished, vd)
	c.sendMessage(hs.scratch)
}

// checkFinished compares the peer's verify_data and adds its Finished to the transcript.
func (c *Conn) checkFinished(got wire.Opaque) error {
	want := c.verifyData(!c.isClient)
	if len(got) != len(want) {
		return fmt.Errorf("%w: verify_data of %d bytes, expected %d", ErrDecode, len(got), len(want))
	}
	if string(got) != string(want) {
		return fmt.Errorf("%w: %x, expected %x", ErrBadFinished, []byte(got), want)
	}
	c.keepFinished(want, !c.isClient)
	c.hs.transcript.add(c.msg)
	return nil
}

// keepFinished keeps verify_data for a renegotiation_info to come (RFC 5746 §3.1), client's first.
func (c *Conn) keepFinished(vd []byte, client bool) {
	if c.renegotiate() == RenegotiateRefuse || c.renegotiate() == RenegotiateClose {
		return
	}
	if c.again == nil {
		c.again = &again{}
	}
	if len(c.again.finished) != 2*len(vd) {
		c.again.finished = make([]byte, 2*len(vd))
	}
	if client {
		copy(c.again.finished[:len(vd)], vd)
	} else {
		copy(c.again.finished[len(vd):], vd)
	}
}

func (c *Conn) renegotiate() Renegotiate {
	if c.isClient {
		return c.client.Renegotiate
	}
	return c.server.Renegotiate
}
