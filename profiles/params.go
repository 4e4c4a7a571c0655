package profiles

import (
	"io"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// HelloParams is what changes from one ClientHello of a browser to the next. The zero value of a field
// means the profile's own way.
type HelloParams struct {
	// MaxVersion is the highest version to offer; 0 is the profile's own. A lower one is a fallback: the
	// hello loses what needs the higher version, as the browser's library does it.
	MaxVersion wire.Version
	// SCSV puts TLS_FALLBACK_SCSV where the browser's library puts it: first or last. Libraries that do
	// not send it together with a session (NSS) leave it out then.
	SCSV bool
	// Variant is the name of a change that the profile knows ("rc4", "retry"); "" is none.
	Variant string
	// ServerName is the host for server_name; "" leaves the extension out. Profiles without SNI ignore it.
	ServerName string
	// Resume offers a session; nil is a full handshake.
	Resume *ResumeOffer
	// Shares gives the public key share for a group of the hello, of that group's length. It may be nil
	// for profiles without key_share; else a nil or wrong answer is an error.
	Shares func(group wire.Group) (public []byte)
	// Random draws the random, session ID, GREASE values and order. The same stream gives the same hello.
	Random io.Reader
	// Now is the clock of browsers that put it into the random.
	Now time.Time
	// Second asks for the ClientHello after a HelloRetryRequest; First, Group and Cookie are then its terms.
	Second *SecondHello
	// EarlyData adds early_data; it needs a PSK in Resume.
	EarlyData bool
}

// ResumeOffer is a stored session as the hello names it. Exactly one of ID, Ticket and Identity is set.
type ResumeOffer struct {
	ID     []byte // session ID of TLS 1.2 and below
	Ticket []byte // session ticket of TLS 1.2 and below
	// Identity is a TLS 1.3 PSK identity, with its obfuscated_ticket_age and the binder's length (32 or
	// 48). The binder is zero in the hello; the engine computes it over the rest and calls SetBinder.
	Identity      []byte
	ObfuscatedAge uint32
	BinderLen     int

	Version wire.Version // the session's
	Suite   wire.CipherSuite
}

// SecondHello is what a HelloRetryRequest asked for (RFC 8446 §4.1.4, Hello Retry Request).
type SecondHello struct {
	First  *hello.ClientHello
	Group  wire.Group // 0: keep the first hello's key shares
	Cookie []byte     // nil: none
}
