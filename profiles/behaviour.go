package profiles

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/profiles/wire"
)

// behaviour is a file of data/behaviour: how one browser of one era acts. Many profiles share one.
type behaviour struct {
	Name     string          `toml:"name"`
	Like     string          `toml:"like"` // the behaviour this one starts from
	Source   []string        `toml:"source"`
	Codes    string          `toml:"codes"` // "lower": error names are shown in lower case (Firefox before 2018)
	Fallback fallbackRule    `toml:"fallback"`
	Retry    retryRule       `toml:"retry"`
	Manners  mannersData     `toml:"manners"`
	Words    map[string]word `toml:"words"`

	manners Manners
	words   map[string]Wording
}

// fallbackRule is when and how the browser offers less.
type fallbackRule struct {
	// Memory is where the lowered maximum lives: "host" (Firefox: in the process, per host and port),
	// "request" (Chromium and others: in the one request), or "" for browsers that never fall back.
	Memory string   `toml:"memory"`
	Source string   `toml:"source"`
	On     []onRule `toml:"on"`
	SCSV   bool     `toml:"scsv"` // lowered hellos carry TLS_FALLBACK_SCSV

	// Memory "host": the lowest version enabled, and security.tls.version.fallback-limit.
	Min   version `toml:"min"`
	Limit version `toml:"limit"`
	// Refused is what alert 86 does: "tolerate next version" (one version up at the next load),
	// "forget" (back to the top at the next load), "show cause" (Chromium: the error that began it).
	Refused string `toml:"refused"`
	// Beyond: a lowered handshake that succeeds with a maximum below this is refused all the same
	// (Chrome 45 to 49).
	Beyond version `toml:"beyond"`
	// WeakFirst are the errors on which the same version is tried once more with the variant "rc4"
	// (Firefox 38 on). WeakInFallback adds that variant to every lowered hello (Firefox 36).
	WeakFirst      []string `toml:"weak_first"`
	WeakInFallback bool     `toml:"weak_in_fallback"`

	// Memory "request": what is offered after the profile's own hello, in order.
	Steps []stepRule `toml:"steps"`
}

// onRule starts a fallback on an error, if the attempt offered more than Above.
type onRule struct {
	Error string  `toml:"error"`
	Above version `toml:"above"`
}

type stepRule struct {
	Version version `toml:"version"`
	Variant string  `toml:"variant"`
	SCSV    *bool   `toml:"scsv"`
}

// retryRule is when the same offer is made again.
type retryRule struct {
	Source   string   `toml:"source"`
	Errors   []string `toml:"errors"`
	Once     []string `toml:"once"`     // errors after which there is one more attempt, not more
	Attempts int      `toml:"attempts"` // attempts of one request, all told
	Within   duration `toml:"within"`   // over which they are spread
	// Variant is what attempts after the first VariantAfter ones send.
	Variant      string `toml:"variant"`
	VariantAfter int    `toml:"variant_after"`
	// Reloads are the delays after which the error page loads itself again; such a load makes
	// ReloadAttempts attempts.
	Reloads        []duration `toml:"reloads"`
	ReloadAttempts int        `toml:"reload_attempts"`
	Total          int        `toml:"total"`
	TotalWithin    duration   `toml:"total_within"`
}

type mannersData struct {
	Source             string   `toml:"source"`
	ConnectionsPerHost int      `toml:"connections_per_host"`
	BackupConnection   duration `toml:"backup_connection"`
	ConnectTimeout     duration `toml:"connect_timeout"`
	HandshakeTimeout   duration `toml:"handshake_timeout"`
	ResponseTimeout    duration `toml:"response_timeout"`
	IdleTimeout        duration `toml:"idle_timeout"`
	NextAddress        bool     `toml:"next_address"`
	ResendReused       bool     `toml:"resend_reused"`
	ResendOnlySafe     bool     `toml:"resend_only_safe"`
	ResendNewSafe      bool     `toml:"resend_new_safe"`
	FalseStart         bool     `toml:"false_start"`
	Pipelining         bool     `toml:"pipelining"`
	MinDHBits          int      `toml:"min_dh_bits"`
	MissingIssuer      string   `toml:"missing_issuer"`
	Sessions           struct {
		By          []string `toml:"by"`
		Lifetime    duration `toml:"lifetime"`
		KeyedBy     string   `toml:"keyed_by"` // "host" or "host and maximum version"
		DropOnAlert bool     `toml:"drop_on_alert"`
		Single      bool     `toml:"single_use"`
		EarlyData   bool     `toml:"early_data"`
	} `toml:"sessions"`
}

type word struct {
	Error    string `toml:"error"`
	Shown    string `toml:"shown"`
	Sentence string `toml:"sentence"`
}

// version and duration read "TLS 1.0" and "250ms" from TOML.
type version wire.Version

func (v *version) UnmarshalText(text []byte) error {
	w, err := wire.ParseVersion(string(text))
	*v = version(w)
	return err
}

type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t < 0 {
		return fmt.Errorf("%q is not a duration such as \"250ms\" or \"30s\"", text)
	}
	*d = duration(t)
	return nil
}

// prepare checks the data and builds what is looked up at run time.
func (b *behaviour) prepare() error {
	b.words = make(map[string]Wording, len(b.Words))
	known := make(map[string]bool)
	for on, w := range b.Words {
		if !validOn(on) {
			return fmt.Errorf("behaviour %s: [words] has no failure called %q", b.Name, on)
		}
		if w.Error == "" {
			return fmt.Errorf("behaviour %s: [words] %q names no error", b.Name, on)
		}
		if w.Shown == "" {
			w.Shown = w.Error
			if b.Codes == "lower" {
				w.Shown = strings.ToLower(w.Error)
			}
		}
		known[w.Error] = true
		b.words[on] = Wording(w)
	}
	for _, on := range []string{"reset", "eof", "timeout", "connect_timeout", "refused", "certificate", "alert", "local"} {
		if _, ok := b.words[on]; !ok {
			return fmt.Errorf("behaviour %s: [words] lacks %q", b.Name, on)
		}
	}
	for _, e := range b.Fallback.On {
		if !known[e.Error] {
			return fmt.Errorf("behaviour %s: [fallback] on %q, which [words] never says", b.Name, e.Error)
		}
	}
	if _, ok := b.words["beyond_minimum"]; b.Fallback.Beyond != 0 && !ok {
		return fmt.Errorf("behaviour %s: [words] lacks \"beyond_minimum\"", b.Name)
	}
	for _, e := range slices.Concat(b.Retry.Errors, b.Retry.Once, b.Fallback.WeakFirst) {
		if !known[e] {
			return fmt.Errorf("behaviour %s: retry on %q, which [words] never says", b.Name, e)
		}
	}
	switch b.Fallback.Memory {
	case "", "host", "request":
	default:
		return fmt.Errorf("behaviour %s: fallback.memory is %q, allowed are \"host\", \"request\" and none", b.Name, b.Fallback.Memory)
	}
	switch b.Fallback.Refused {
	case "", "tolerate next version", "forget", "show cause":
	default:
		return fmt.Errorf("behaviour %s: fallback.refused is %q, allowed are \"tolerate next version\", \"forget\", \"show cause\" and none", b.Name, b.Fallback.Refused)
	}
	d := &b.Manners
	m := Manners{
		ConnectionsPerHost: d.ConnectionsPerHost, BackupConnection: time.Duration(d.BackupConnection),
		ConnectTimeout: time.Duration(d.ConnectTimeout), HandshakeTimeout: time.Duration(d.HandshakeTimeout),
		ResponseTimeout: time.Duration(d.ResponseTimeout), IdleTimeout: time.Duration(d.IdleTimeout),
		MinDHBits: d.MinDHBits, MissingIssuer: MissingIssuer(d.MissingIssuer),
		NextAddress: d.NextAddress, ResendReused: d.ResendReused, ResendOnlySafe: d.ResendOnlySafe, FalseStart: d.FalseStart, Pipelining: d.Pipelining,
		Sessions: SessionManners{
			Lifetime: time.Duration(d.Sessions.Lifetime), DropOnAlert: d.Sessions.DropOnAlert, Single: d.Sessions.Single, EarlyData: d.Sessions.EarlyData,
		},
		RetryStorm: Storm{
			Attempts: b.Retry.Attempts, Within: time.Duration(b.Retry.Within),
			Total: b.Retry.Total, TotalWithin: time.Duration(b.Retry.TotalWithin),
		},
	}
	for _, r := range b.Retry.Reloads {
		m.RetryStorm.Reloads = append(m.RetryStorm.Reloads, time.Duration(r))
	}
	for _, by := range d.Sessions.By {
		switch by {
		case "id":
			m.Sessions.ID = true
		case "ticket":
			m.Sessions.Ticket = true
		case "psk":
			m.Sessions.PSK = true
		default:
			return fmt.Errorf("behaviour %s: sessions.by has %q, allowed are \"id\", \"ticket\", \"psk\"", b.Name, by)
		}
	}
	switch d.Sessions.KeyedBy {
	case "", "host":
	case "host and maximum version":
		m.Sessions.KeyedByMaxVersion = true
	default:
		return fmt.Errorf("behaviour %s: sessions.keyed_by is %q, allowed are \"host\" and \"host and maximum version\"", b.Name, d.Sessions.KeyedBy)
	}
	switch m.MissingIssuer {
	case IssuerMissed, IssuerFetched, IssuerPreloaded:
	default:
		return fmt.Errorf("behaviour %s: missing_issuer is %q, allowed are \"fetched\", \"preloaded\" and none", b.Name, m.MissingIssuer)
	}
	if m.MinDHBits < 0 || m.MinDHBits > 8192 {
		return fmt.Errorf("behaviour %s: min_dh_bits is %d, 0 to 8192 expected", b.Name, m.MinDHBits)
	}
	if _, ok := b.words["weak_dh"]; m.MinDHBits > 0 && !ok {
		return fmt.Errorf("behaviour %s: [words] lacks \"weak_dh\"", b.Name)
	}
	if m.ConnectionsPerHost < 1 {
		return fmt.Errorf("behaviour %s: connections_per_host is %d, at least 1 expected", b.Name, m.ConnectionsPerHost)
	}
	b.manners = m
	return nil
}

// validOn says whether on is a key of [words]: see onKeys.
func validOn(on string) bool {
	switch on {
	case "reset", "eof", "timeout", "connect_timeout", "refused", "certificate", "certificate expired", "certificate not_yet", "certificate issuer",
		"certificate name", "not_tls", "no_common_version", "unoffered_suite", "weak_dh", "alert", "local", "beyond_minimum", "request reset", "request eof", "request timeout", "request", "malformed":
		return true
	}
	f := strings.Fields(on)
	if len(f) == 3 && f[2] == "hello" && f[0] == "alert" {
		f = f[:2]
	}
	if len(f) != 2 || f[0] != "alert" && f[0] != "local" {
		return false
	}
	_, err := strconv.ParseUint(f[1], 10, 8)
	return err == nil
}

// onKeys gives the keys of [words] for a failure, the narrowest first.
//
//	refused, connect_timeout, reset, eof, timeout, certificate   before the handshake is done
//	request reset, request eof, request timeout                  after it; then "request", then the plain word
//	certificate expired, certificate issuer, certificate name    what is wrong with it; then "certificate"
//	certificate not_yet                                          it is not valid yet; then "certificate expired"
//	malformed                                                    no HTTP, over a sound connection; then "local"
//	alert N hello                                                alert N in answer to the ClientHello
//	alert N, alert                                               any fatal alert
//	not_tls, no_common_version, unoffered_suite, weak_dh         the client refused for this reason; then
//	local N, local                                               with alert N
func onKeys(f Failure, keys []string) []string {
	switch f.Kind {
	case FailRefused:
		return append(keys, "refused")
	case FailConnectTimeout:
		return append(keys, "connect_timeout")
	case FailCertificate:
		switch f.Certificate {
		case CertificateExpired:
			keys = append(keys, "certificate expired")
		case CertificateNotYet:
			keys = append(keys, "certificate not_yet", "certificate expired")
		case CertificateIssuer:
			keys = append(keys, "certificate issuer")
		case CertificateName:
			keys = append(keys, "certificate name")
		}
		return append(keys, "certificate")
	case FailReset, FailEOF, FailTimeout:
		plain := map[FailureKind]string{FailReset: "reset", FailEOF: "eof", FailTimeout: "timeout"}[f.Kind]
		if f.HandshakeDone {
			return append(keys, "request "+plain, "request", plain)
		}
		return append(keys, plain)
	case FailAlert:
		n := strconv.Itoa(int(f.Alert))
		if f.AwaitingServerHello {
			keys = append(keys, "alert "+n+" hello")
		}
		return append(keys, "alert "+n, "alert")
	case FailHTTP:
		return append(keys, "malformed", "local")
	case FailLocal:
		switch {
		case f.NotTLS:
			keys = append(keys, "not_tls")
		case f.NoCommonVersion:
			keys = append(keys, "no_common_version")
		case f.UnofferedSuite:
			keys = append(keys, "unoffered_suite")
		case f.WeakDH:
			keys = append(keys, "weak_dh")
		}
		return append(keys, "local "+strconv.Itoa(int(f.Alert)), "local")
	}
	return keys
}

// wording finds the words for a failure.
func (b *behaviour) wording(f Failure) Wording {
	var buf [4]string
	for _, k := range onKeys(f, buf[:0]) {
		if w, ok := b.words[k]; ok {
			w.Shown, w.Sentence = aboutAlert(w.Shown, f), aboutAlert(w.Sentence, f)
			return w
		}
	}
	return Wording{Error: "no resource", Shown: "no resource"}
}

// aboutAlert fills in what some programs print of the alert itself.
func aboutAlert(s string, f Failure) string {
	if !strings.Contains(s, "{") {
		return s
	}
	return strings.NewReplacer("{alert}", f.Alert.String(), "{alert words}", strings.ReplaceAll(f.Alert.String(), "_", " "), "{number}", strconv.Itoa(int(f.Alert))).Replace(s)
}
