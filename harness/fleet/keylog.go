package fleet

import (
	"fmt"
	"os"
)

// keyLog is a file of TLS secrets in the format that SSLKEYLOGFILE made known. Lines are written at once, each in
// one call, so that goroutines and processes that are killed leave whole ones.
type keyLog struct{ *os.File }

func openKeyLog(path string) (*keyLog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &keyLog{f}, nil
}

func (k *keyLog) log(label string, clientRandom, secret []byte) {
	_, _ = fmt.Fprintf(k, "%s %x %x\n", label, clientRandom, secret) // a capture without a key is no reason to end a run
}
