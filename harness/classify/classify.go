// Package classify is the only place that turns an error into a results.Class. The taxonomy, with
// meaning, fault and example of each class, is docs/OUTCOMES.md; a test holds the two together.
//
// It decides nothing about users or browsers: what a failure means to the person in front of one is for
// package profiles.
package classify

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"tlsurge/harness/engine"
	"tlsurge/results"
)

// Stage is how far the connection was when it failed.
type Stage uint8

const (
	Connecting  Stage = iota // no SYN-ACK yet
	Handshaking              // TCP is up, TLS is not
	Open                     // TLS is up
)

// Errors that a caller reports because no system call or engine does.
var (
	// ErrTimeout: the client gave up waiting; which timeout, Stage tells.
	ErrTimeout = errors.New("gave up waiting")
	// ErrNoCloseNotify: FIN without close_notify while an answer was on its way that only the
	// connection's end delimits (RFC 8446 §6.1, Closure Alerts: a truncation cannot be told apart).
	ErrNoCloseNotify = errors.New("closed without close_notify in an answer that the close ends")
	// ErrHTTP is wrapped by what the HTTP parser refuses.
	ErrHTTP = errors.New("malformed HTTP")
	// ErrStatus is wrapped by an answer of 500 or above and by a failed check.
	ErrStatus = errors.New("unwanted answer")
	// ErrRefused: the browser does not accept what the handshake agreed on, and closes without an alert.
	ErrRefused = errors.New("handshake complete, and refused by the browser")
	// ErrALPN is wrapped when the server selected an application protocol that we do not speak.
	ErrALPN = errors.New("server selected a protocol that is not spoken here")
)

// Verdict is what an error comes to.
type Verdict struct {
	Class  results.Class
	Alert  int    // number of the alert that ended it; -1 for none
	Sender string // "server" or "client" where there was an alert
	Errno  string // symbolic ("ECONNRESET"), where the kernel gave one
	Detail string // the error's own text
}

// Of classifies err at a stage. A nil error is ok.
//
// It fails loudly, with Class "" and the error in Detail, on an error that it does not know: callers
// treat that as a defect of this program, never as an outcome of the run.
func Of(err error, at Stage) Verdict {
	v := Verdict{Class: results.ClassOK, Alert: -1}
	if err == nil {
		return v
	}
	v.Detail = err.Error()
	var peer *engine.PeerAlert
	var local *engine.LocalAlert
	var errno syscall.Errno
	switch {
	case errors.As(err, &peer):
		v.Class, v.Alert, v.Sender = results.ClassPeerAlert, int(peer.Description), "server"
	case errors.As(err, &local):
		v.Class, v.Alert, v.Sender = results.ClassLocalAlert, int(local.Description), "client"
		if errors.Is(err, engine.ErrCertificate) {
			v.Class = results.ClassCertificate
		}
	case errors.As(err, &errno):
		v.Errno = Errno(errno)
		v.Class = ofErrno(errno, at)
	case errors.Is(err, ErrTimeout):
		v.Class = pick(at, results.ClassConnectTimeout, results.ClassHandshakeTimeout, results.ClassRequestTimeout)
	case errors.Is(err, ErrNoCloseNotify):
		v.Class = results.ClassTruncated
	case errors.Is(err, ErrHTTP):
		v.Class = results.ClassHTTPMalformed
	case errors.Is(err, ErrStatus):
		v.Class = results.ClassHTTPStatus
	case errors.Is(err, ErrRefused):
		v.Class = results.ClassLocalAlert
	case errors.Is(err, ErrALPN):
		v.Class = results.ClassALPN
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, engine.ErrTruncated):
		v.Class = pick(at, results.ClassConnectReset, results.ClassEOF, results.ClassRequestEOF)
	default:
		v.Class = ""
	}
	return v
}

// ofErrno sorts what the kernel said. Whatever speaks of this machine's own limits is no_resource, at
// any stage, so that a generator out of ports is never taken for a server in trouble.
func ofErrno(errno syscall.Errno, at Stage) results.Class {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EADDRNOTAVAIL,
		syscall.EADDRINUSE, syscall.EAGAIN, syscall.EPERM, syscall.EACCES, syscall.ENOSPC:
		return results.ClassNoResource
	case syscall.ECONNREFUSED:
		return pick(at, results.ClassConnectRefused, results.ClassReset, results.ClassRequestReset)
	case syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN:
		return pick(at, results.ClassConnectTimeout, results.ClassHandshakeTimeout, results.ClassRequestTimeout)
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return pick(at, results.ClassConnectReset, results.ClassReset, results.ClassRequestReset)
	}
	return ""
}

func pick(at Stage, connecting, handshaking, open results.Class) results.Class {
	return [...]results.Class{connecting, handshaking, open}[at]
}

// Errno gives the symbol of an errno ("ECONNRESET"); an errno that no outcome is made of reads "errno 61".
func Errno(e syscall.Errno) string {
	if s, ok := errnoNames[e]; ok {
		return s
	}
	return fmt.Sprintf("errno %d", int(e))
}

var errnoNames = map[syscall.Errno]string{
	syscall.EMFILE: "EMFILE", syscall.ENFILE: "ENFILE", syscall.ENOMEM: "ENOMEM", syscall.ENOBUFS: "ENOBUFS",
	syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL", syscall.EADDRINUSE: "EADDRINUSE", syscall.EAGAIN: "EAGAIN",
	syscall.EPERM: "EPERM", syscall.EACCES: "EACCES", syscall.ENOSPC: "ENOSPC",
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.ETIMEDOUT: "ETIMEDOUT", syscall.EHOSTUNREACH: "EHOSTUNREACH",
	syscall.ENETUNREACH: "ENETUNREACH", syscall.EHOSTDOWN: "EHOSTDOWN", syscall.ENETDOWN: "ENETDOWN",
	syscall.ECONNRESET: "ECONNRESET", syscall.EPIPE: "EPIPE", syscall.ECONNABORTED: "ECONNABORTED",
}

// OwnFault says whether a class speaks of this machine rather than of the target.
func OwnFault(c results.Class) bool { return c == results.ClassNoResource }

// Describe joins a verdict into one line for people: "peer_alert handshake_failure(40)".
func (v Verdict) Describe() string {
	parts := []string{string(v.Class)}
	if v.Alert >= 0 {
		parts = append(parts, fmt.Sprintf("alert %d from the %s", v.Alert, v.Sender))
	}
	if v.Errno != "" {
		parts = append(parts, v.Errno)
	}
	return strings.Join(parts, ", ")
}
