package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"io"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// cbcMode is what the standard library's CBC modes are.
type cbcMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

func (h *Half12) newCBC(key []byte) cbcMode {
	var block cipher.Block
	var err error
	switch h.suite.Cipher {
	case keys.CipherAESCBC:
		block, err = aes.NewCipher(key)
	case keys.Cipher3DES:
		block, err = des.NewTripleDESCipher(key)
	default:
		block, err = des.NewCipher(key)
	}
	must(err)
	if h.seal {
		return cipher.NewCBCEncrypter(block, h.iv[:block.BlockSize()]).(cbcMode)
	}
	return cipher.NewCBCDecrypter(block, h.iv[:block.BlockSize()]).(cbcMode)
}

func (h *Half12) sealCBC(l *live12, dst []byte, typ wire.RecordType, ver wire.Version, fragment []byte) []byte {
	bs := h.suite.IVLen
	start := len(dst)
	if n := h.explicitLen(); n > 0 {
		dst = append(dst, h.iv[:n]...)
		// A source that fails leaves the last IV in place: a test instrument goes on.
		_, _ = io.ReadFull(h.rand, dst[start:])
		l.cbc.SetIV(dst[start:])
	} else {
		l.cbc.SetIV(h.iv[:bs])
	}
	body := len(dst)
	dst = append(dst, fragment...)
	if !h.etm {
		dst = append(dst, h.macOf(l, typ, ver, fragment)...)
	}
	pad := bs - (len(dst)-body)%bs
	for range pad {
		dst = append(dst, byte(pad-1))
	}
	l.cbc.CryptBlocks(dst[body:], dst[body:])
	copy(h.iv[:bs], dst[len(dst)-bs:])
	if h.etm {
		dst = append(dst, h.macOf(l, typ, ver, dst[start:])...)
	}
	return dst
}

func (h *Half12) openCBC(l *live12, typ wire.RecordType, ver wire.Version, body []byte) ([]byte, error) {
	bs, maclen, n := h.suite.IVLen, h.suite.MACLen(), h.explicitLen()
	if h.etm {
		if len(body) < n+bs+maclen {
			return nil, ErrMAC
		}
		cut := len(body) - maclen
		if subtle.ConstantTimeCompare(h.macOf(l, typ, ver, body[:cut]), body[cut:]) != 1 {
			return nil, ErrMAC
		}
		body = body[:cut]
	}
	if len(body) < n+bs || (len(body)-n)%bs != 0 {
		return nil, ErrMAC
	}
	if n > 0 {
		l.cbc.SetIV(body[:n])
		body = body[n:]
	} else {
		l.cbc.SetIV(h.iv[:bs])
	}
	copy(h.iv[:bs], body[len(body)-bs:])
	l.cbc.CryptBlocks(body, body)
	pad, ok := h.padding(body)
	if h.etm {
		if !ok {
			return nil, ErrMAC
		}
		return body[:len(body)-pad], nil
	}
	if !ok || len(body)-pad < maclen {
		// The MAC is computed all the same, as RFC 5246 §6.2.3.2 asks; this instrument claims no
		// constant time.
		pad, ok = 0, false
		if len(body) < maclen {
			return nil, ErrMAC
		}
	}
	plain, err := h.checkMAC(l, typ, ver, body, len(body)-pad-maclen)
	if !ok {
		return nil, ErrMAC
	}
	return plain, err
}

// padding gives the length of the padding, its length byte included. In TLS each byte of it must hold
// the padding_length (RFC 5246 §6.2.3.2); in SSL 3.0 only the last counts, and it is less than a block
// (RFC 6101 §5.2.3.2).
func (h *Half12) padding(body []byte) (int, bool) {
	n := int(body[len(body)-1]) + 1
	if n > len(body) {
		return 0, false
	}
	if h.version == wire.SSL30 {
		return n, n <= h.suite.IVLen
	}
	for _, b := range body[len(body)-n:] {
		if int(b) != n-1 {
			return 0, false
		}
	}
	return n, true
}
