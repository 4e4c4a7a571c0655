package interop

import (
	"crypto/tls"

	"tlsurge/profiles/wire"
)

// goHas says whether crypto/tls implements a suite, however insecure.
func goHas(id wire.CipherSuite) bool {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if s.ID == uint16(id) {
			return true
		}
	}
	return false
}
