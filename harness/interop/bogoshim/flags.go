package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tlsurge/profiles/wire"
)

// options is what one connection is asked to do and to check. A nil pointer was not asked for.
type options struct {
	port        string
	ipv6        bool
	shimID      uint64
	server      bool
	resumeCount int
	handshaker  bool
	delay       time.Duration

	minVersion, maxVersion wire.Version
	off                    map[wire.Version]bool
	ciphers                string
	curves, keyShares      []wire.Group
	noKeyShares            bool
	verifyPrefs            []wire.SignatureScheme
	credentials            []credential // the first is the default one
	requestCert            bool
	requireCert            bool
	scsv                   bool
	noTicket               bool
	hostName               string
	alpn                   string // the wire's list
	selectALPN             *string
	rejectALPN             bool
	advertiseNPN           string
	selectNPN              *string
	ocspStapling, scts     bool
	ocsp, sctList          []byte
	split, falseStart      bool
	serverPreference       bool
	writesFirst, shutsDown bool
	checkClose             bool
	async                  bool
	renegotiateFreely      bool
	keyUpdate              bool
	exportLen              int
	exportLabel            string
	exportContext          string
	maxSend                int
	initialWrite           []byte

	expectVersion    wire.Version
	expectALPN       *string
	expectNPN        *string
	expectNoNPN      bool
	expectAdvertised *string
	expectServerName *string
	expectOCSP       []byte
	expectEMS        bool
	expectMiss       bool
	expectRenewal    bool
	expectNoSession  bool
	expectID         bool
	expectNoID       bool
	expectCurve      wire.Group
	expectScheme     wire.SignatureScheme
	expectReneg      *bool
	expectNoName     bool
	expectNoPeerCert bool
	verifyFail       bool
	useContext       bool
	customVerify     bool

	retry             *options // after rejected 0-RTT data
	early             bool
	expectEarly       *bool
	expectNoOffer     bool
	earlyReason       string
	expectTicketEarly bool
	expectHRR         *bool
	expectCipher      wire.CipherSuite
}

// credential is a certificate with its key, as files.
type credential struct {
	cert, key string
	schemes   []wire.SignatureScheme
}

func (o *options) last() *credential { return &o.credentials[len(o.credentials)-1] }

// unimplemented is a request that this shim does not know or cannot carry out.
type unimplemented string

func (u unimplemented) Error() string { return "unimplemented: " + string(u) }

// parseFlags gives the options of the first connection and of the resumptions: a flag may be meant for
// one of them only ("-on-initial-…", "-on-resume-…"), or for what follows a rejection of 0-RTT data
// ("-on-retry-…").
func parseFlags(args []string) (first, later *options, err error) {
	first, later = newOptions(), newOptions()
	later.retry = newOptions()
	for len(args) > 0 {
		name := strings.TrimPrefix(args[0], "-")
		args = args[1:]
		to := []*options{first, later, later.retry}
		name = strings.TrimPrefix(name, "on-shim-")
		if n, ok := strings.CutPrefix(name, "on-initial-"); ok {
			name, to = n, to[:1]
		} else if n, ok := strings.CutPrefix(name, "on-resume-"); ok {
			name, to = n, to[1:2]
		} else if n, ok := strings.CutPrefix(name, "on-retry-"); ok {
			name, to = n, to[2:]
		}
		if name == "is-handshaker-supported" {
			first.handshaker = true
			return first, later, nil
		}
		if set, ok := switches[name]; ok {
			for _, o := range to {
				set(o)
			}
			continue
		}
		set, ok := values[name]
		if !ok || len(args) == 0 {
			return nil, nil, unimplemented("-" + name)
		}
		for _, o := range to {
			if err := set(o, args[0]); err != nil {
				return nil, nil, unimplemented(fmt.Sprintf("-%s %s: %v", name, args[0], err))
			}
		}
		args = args[1:]
	}
	return first, later, nil
}

func newOptions() *options {
	return &options{minVersion: wire.TLS10, maxVersion: wire.TLS13, credentials: make([]credential, 1), off: map[wire.Version]bool{}}
}

func nothing(*options) {}

var yes, no = true, false

// switches are the flags without a value. Those that are nothing say how the BoringSSL API is to be used,
// which makes no difference here.
var switches = map[string]func(*options){
	"server": func(o *options) { o.server = true }, "ipv6": func(o *options) { o.ipv6 = true },
	"no-tls13": func(o *options) { o.off[wire.TLS13] = true }, "no-tls12": func(o *options) { o.off[wire.TLS12] = true },
	"no-tls11": func(o *options) { o.off[wire.TLS11] = true }, "no-tls1": func(o *options) { o.off[wire.TLS10] = true },
	"fallback-scsv": func(o *options) { o.scsv = true }, "no-ticket": func(o *options) { o.noTicket = true },
	"no-key-shares": func(o *options) { o.noKeyShares = true },
	"verify-peer":   func(o *options) { o.requestCert = true }, "require-any-client-certificate": func(o *options) { o.requestCert, o.requireCert = true, true },
	"reject-alpn": func(o *options) { o.rejectALPN = true }, "decline-alpn": func(o *options) { o.selectALPN = nil },
	"enable-ocsp-stapling": func(o *options) { o.ocspStapling = true }, "enable-signed-cert-timestamps": func(o *options) { o.scts = true },
	"cbc-record-splitting": func(o *options) { o.split = true }, "false-start": func(o *options) { o.falseStart = true },
	"server-preference": func(o *options) { o.serverPreference = true },
	"shim-writes-first": func(o *options) { o.writesFirst = true }, "shim-shuts-down": func(o *options) { o.shutsDown = true },
	"check-close-notify": func(o *options) { o.checkClose = true }, "async": func(o *options) { o.async = true },
	"renegotiate-freely": func(o *options) { o.renegotiateFreely = true }, "key-update": func(o *options) { o.keyUpdate = true },
	"new-x509-credential": func(o *options) { o.credentials = append(o.credentials, credential{}) },
	"verify-fail":         func(o *options) { o.verifyFail = true }, "expect-verify-result": nothing,
	"expect-extended-master-secret": func(o *options) { o.expectEMS = true }, "expect-session-miss": func(o *options) { o.expectMiss = true },
	"expect-ticket-renewal": func(o *options) { o.expectRenewal = true }, "expect-no-session": func(o *options) { o.expectNoSession = true },
	"expect-session-id": func(o *options) { o.expectID = true }, "expect-no-session-id": func(o *options) { o.expectNoID = true },
	"expect-secure-renegotiation": func(o *options) { o.expectReneg = &yes }, "expect-no-secure-renegotiation": func(o *options) { o.expectReneg = &no },
	"expect-no-server-name": func(o *options) { o.expectNoName = true }, "expect-no-next-proto": func(o *options) { o.expectNoNPN = true },
	"enable-early-data":                 func(o *options) { o.early = true },
	"expect-accept-early-data":          func(o *options) { o.expectEarly = &yes },
	"expect-reject-early-data":          func(o *options) { o.expectEarly = &no },
	"expect-no-offer-early-data":        func(o *options) { o.expectNoOffer = true },
	"expect-ticket-supports-early-data": func(o *options) { o.expectTicketEarly = true },
	"use-export-context":                func(o *options) { o.useContext = true },
	"expect-hrr":                        func(o *options) { o.expectHRR = &yes }, "expect-no-hrr": func(o *options) { o.expectHRR = &no },
	"set-ocsp-in-callback": nothing,
	"expect-no-peer-cert":  func(o *options) { o.expectNoPeerCert = true },

	"implicit-handshake": nothing, "partial-write": nothing, "use-early-callback": nothing, "handshake-twice": nothing,
	"no-op-extra-handshake": nothing, "peek-then-read": nothing, "use-ticket-callback": nothing, "use-old-client-cert-callback": nothing,
	"use-custom-verify-callback": func(o *options) { o.customVerify = true }, "install-ddos-callback": nothing, "read-with-unfinished-write": nothing, "use-ocsp-callback": nothing,
	"use-exporter-between-reads": nothing, "no-legacy-server-connect": nothing,
}

func text(field func(*options) *string) func(*options, string) error {
	return func(o *options, v string) error { *field(o) = v; return nil }
}

func optional(field func(*options) **string) func(*options, string) error {
	return func(o *options, v string) error { *field(o) = &v; return nil }
}

func number(set func(*options, int)) func(*options, string) error {
	return func(o *options, v string) error {
		n, err := strconv.Atoi(v)
		if err == nil {
			set(o, n)
		}
		return err
	}
}

func encoded(field func(*options) *[]byte) func(*options, string) error {
	return func(o *options, v string) (err error) {
		*field(o), err = base64.StdEncoding.DecodeString(v)
		return err
	}
}

// values are the flags with one.
var values = map[string]func(*options, string) error{
	"port": text(func(o *options) *string { return &o.port }),
	"shim-id": func(o *options, v string) (err error) {
		o.shimID, err = strconv.ParseUint(v, 10, 64)
		return err
	},
	"resume-count":                    number(func(o *options, n int) { o.resumeCount = n }),
	"resumption-delay":                number(func(o *options, n int) { o.delay = time.Duration(n) * time.Second }),
	"min-version":                     number(func(o *options, n int) { o.minVersion = wire.Version(n) }),
	"max-version":                     number(func(o *options, n int) { o.maxVersion = wire.Version(n) }),
	"expect-version":                  number(func(o *options, n int) { o.expectVersion = wire.Version(n) }),
	"cipher":                          text(func(o *options) *string { return &o.ciphers }),
	"curves":                          number(func(o *options, n int) { o.curves = append(o.curves, wire.Group(n)) }),
	"key-shares":                      number(func(o *options, n int) { o.keyShares = append(o.keyShares, wire.Group(n)) }),
	"signing-prefs":                   number(func(o *options, n int) { o.last().schemes = append(o.last().schemes, wire.SignatureScheme(n)) }),
	"expect-early-data-reason":        text(func(o *options) *string { return &o.earlyReason }),
	"verify-prefs":                    number(func(o *options, n int) { o.verifyPrefs = append(o.verifyPrefs, wire.SignatureScheme(n)) }),
	"cert-file":                       text(func(o *options) *string { return &o.last().cert }),
	"key-file":                        text(func(o *options) *string { return &o.last().key }),
	"trust-cert":                      func(*options, string) error { return nil },
	"host-name":                       text(func(o *options) *string { return &o.hostName }),
	"advertise-alpn":                  text(func(o *options) *string { return &o.alpn }),
	"select-alpn":                     optional(func(o *options) **string { return &o.selectALPN }),
	"advertise-npn":                   text(func(o *options) *string { return &o.advertiseNPN }),
	"select-next-proto":               optional(func(o *options) **string { return &o.selectNPN }),
	"ocsp-response":                   encoded(func(o *options) *[]byte { return &o.ocsp }),
	"signed-cert-timestamps":          encoded(func(o *options) *[]byte { return &o.sctList }),
	"max-send-fragment":               number(func(o *options, n int) { o.maxSend = n }),
	"read-size":                       number(func(*options, int) {}),
	"export-keying-material":          number(func(o *options, n int) { o.exportLen = n }),
	"export-label":                    text(func(o *options) *string { return &o.exportLabel }),
	"export-context":                  text(func(o *options) *string { return &o.exportContext }),
	"expect-alpn":                     optional(func(o *options) **string { return &o.expectALPN }),
	"expect-advertised-alpn":          optional(func(o *options) **string { return &o.expectAdvertised }),
	"expect-next-proto":               optional(func(o *options) **string { return &o.expectNPN }),
	"expect-server-name":              optional(func(o *options) **string { return &o.expectServerName }),
	"expect-ocsp-response":            encoded(func(o *options) *[]byte { return &o.expectOCSP }),
	"expect-curve-id":                 number(func(o *options, n int) { o.expectCurve = wire.Group(n) }),
	"expect-cipher":                   number(func(o *options, n int) { o.expectCipher = wire.CipherSuite(n) }),
	"expect-cipher-aes":               number(func(o *options, n int) { o.expectCipher = wire.CipherSuite(n) }),
	"expect-peer-signature-algorithm": number(func(o *options, n int) { o.expectScheme = wire.SignatureScheme(n) }),
}
