package faults

import (
	"errors"
	"strings"
)

// ErrUnsupported is what every UnsupportedError is.
var ErrUnsupported = errors.New("not possible here")

// UnsupportedError says that a rule, or one kernel feature it needs, cannot be had on this machine or
// without a right. It is found before the load starts and ends the program with exit 3.
type UnsupportedError struct {
	Engine  Engine
	What    string // what was asked for: "attach a filter to a TCP socket"
	Reason  string // what the kernel said and which right is missing
	Instead string // what could do it: an engine, a right; may be empty
}

// Error reads "sockfilter: attach a filter to a TCP socket: operation not permitted (…); instead: …".
func (e *UnsupportedError) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Engine) + ": " + e.What + ": " + e.Reason)
	if e.Instead != "" {
		b.WriteString("; instead: " + e.Instead)
	}
	return b.String()
}

// Is makes errors.Is(err, ErrUnsupported) hold.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }
