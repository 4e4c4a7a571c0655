package engine

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"tlsurge/profiles/wire"
)

// decompressCertificate undoes RFC 8879, Certificate Compression, in any of its three algorithms. What comes out is
// read to one byte beyond what was promised, so that a bomb costs no more than a certificate.
//
//	"the receiver MUST ... abort the handshake if the length of the decompressed message does not equal
//	uncompressed_length ... with a 'bad_certificate' alert" (§4, Compressed Certificate Message)
func decompressCertificate(m *wire.CompressedCertificate) ([]byte, error) {
	if m.Length > maxMessage {
		return nil, fmt.Errorf("%w: Certificate of %d bytes, at most %d allowed", ErrMessageSize, m.Length, maxMessage)
	}
	in := bytes.NewReader(m.Compressed)
	var out io.Reader
	switch m.Algorithm {
	case wire.CertZlib:
		z, err := zlib.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCertDecompress, err)
		}
		out = z
	case wire.CertBrotli:
		out = brotli.NewReader(in)
	case wire.CertZstd:
		// With a concurrency of one it starts no goroutine.
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCertDecompress, err)
		}
		defer z.Close()
		out = z
	default:
		return nil, fmt.Errorf("%w: %v", ErrCertCompression, m.Algorithm)
	}
	body, err := io.ReadAll(io.LimitReader(out, int64(m.Length)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCertDecompress, err)
	}
	if len(body) != m.Length {
		return nil, fmt.Errorf("%w: %d bytes came out, %d were promised", ErrCertDecompress, len(body), m.Length)
	}
	return body, nil
}

// maxZstdWindow is what a decoder must be able to hold at least (RFC 8878 §3.1.1.1.2, Window Descriptor).
const maxZstdWindow = 8 << 20

// compresses says whether compressCertificate knows an algorithm.
func compresses(alg wire.CertCompression) bool {
	return alg == wire.CertZlib || alg == wire.CertBrotli || alg == wire.CertZstd
}

// compressCertificate is the server's side: msg is a whole Certificate message.
func compressCertificate(alg wire.CertCompression, msg []byte) []byte {
	var buf bytes.Buffer
	var z io.WriteCloser
	switch alg {
	case wire.CertBrotli:
		z = brotli.NewWriter(&buf)
	case wire.CertZstd:
		z, _ = zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1)) // only options can fail, and these do not
	default:
		z = zlib.NewWriter(&buf)
	}
	body := msg[wire.MessageHeaderLen:]
	z.Write(body) // into memory: neither fails
	z.Close()
	m := wire.CompressedCertificate{Algorithm: alg, Length: len(body), Compressed: buf.Bytes()}
	return m.AppendMessage(nil)
}
