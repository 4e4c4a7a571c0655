package engine

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"tlsurge/profiles/wire"
)

// decompressCertificate undoes RFC 8879, Certificate Compression. zlib is what the standard library
// has; brotli and zstd are offered by browsers and refused here with ErrCertCompression, so that the
// outcome says why.
//
//	"the receiver MUST ... abort the handshake if the length of the decompressed message does not equal
//	uncompressed_length ... with a 'bad_certificate' alert" (§4, Compressed Certificate Message)
func decompressCertificate(m *wire.CompressedCertificate) ([]byte, error) {
	if m.Algorithm != wire.CertZlib {
		return nil, fmt.Errorf("%w: %v, only zlib is", ErrCertCompression, m.Algorithm)
	}
	if m.Length > maxMessage {
		return nil, fmt.Errorf("%w: Certificate of %d bytes, at most %d allowed", ErrMessageSize, m.Length, maxMessage)
	}
	z, err := zlib.NewReader(bytes.NewReader(m.Compressed))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCertDecompress, err)
	}
	body, err := io.ReadAll(io.LimitReader(z, int64(m.Length)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCertDecompress, err)
	}
	if len(body) != m.Length {
		return nil, fmt.Errorf("%w: %d bytes came out, %d were promised", ErrCertDecompress, len(body), m.Length)
	}
	return body, nil
}

// compressCertificate is the server's side: msg is a whole Certificate message.
func compressCertificate(msg []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	body := msg[wire.MessageHeaderLen:]
	z.Write(body) // into memory: neither fails
	z.Close()
	m := wire.CompressedCertificate{Algorithm: wire.CertZlib, Length: len(body), Compressed: buf.Bytes()}
	return m.AppendMessage(nil)
}
