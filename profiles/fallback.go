package profiles

import (
	"slices"
	"time"

	"tlsurge/profiles/wire"
)

// first plans a new connection from what the memory holds now.
func (b *behaviour) first(m *Memory) Plan {
	p := Plan{Kind: KindFirst, MaxVersion: m.p.maxVersion, Resume: true, Attempt: 1}
	if b.Fallback.Memory == "host" {
		p.MaxVersion = m.adjust(p.MaxVersion, wire.Version(b.Fallback.Min))
		if p.MaxVersion < m.p.maxVersion {
			p.Kind, p.SCSV = KindFallback, b.Fallback.SCSV
			if b.Fallback.WeakInFallback {
				p.Variant = variantRC4
			}
		}
		if m.weak {
			p.Variant = variantRC4
		}
	}
	return b.keyed(m, p)
}

// variantRC4 is the hello that also offers RC4.
const variantRC4 = "rc4"

// keyed sets the session key of a plan.
func (b *behaviour) keyed(m *Memory, p Plan) Plan {
	p.SessionKey = ""
	if b.manners.Sessions.KeyedByMaxVersion && p.MaxVersion != m.p.maxVersion {
		p.SessionKey = p.MaxVersion.String()
	}
	return p
}

func (b *behaviour) succeeded(m *Memory, plan Plan, _ wire.Version) {
	m.pages = 0
	if plan.Variant == "" {
		m.strong = true
	}
	if b.Fallback.Memory == "host" {
		// What counts is the maximum that was offered, not what the server chose: a server that
		// answers TLS 1.0 to a TLS 1.2 hello is tolerant of 1.2.
		m.rememberTolerant(plan.MaxVersion)
	}
}

func (b *behaviour) failed(m *Memory, plan Plan, f Failure) Decision {
	w := b.wording(f)
	switch f.Kind {
	case FailNone, FailNoResource:
		return Decision{UserSees: w.Shown, Wording: w}
	case FailRefused, FailConnectTimeout:
		d := b.show(m, w)
		if b.manners.NextAddress {
			d.Retry, d.NextAddress, d.Next = true, true, plan
			d.Next.Attempt, d.Next.Kind, d.Next.Cause = plan.Attempt+1, retryKind(plan), f
		}
		return d
	}
	if f.HandshakeDone {
		return b.requestFailed(m, plan, f, w)
	}
	drop := b.manners.Sessions.DropOnAlert && (f.Kind == FailAlert || f.Kind == FailLocal)
	var d Decision
	switch b.Fallback.Memory {
	case "host":
		d = b.failedHost(m, plan, f, w)
	case "request":
		d = b.failedRequest(m, plan, f, w)
	default:
		d = b.again(m, plan, f, w)
	}
	d.DropSession = drop
	return d
}

// failedHost is Firefox: what is learnt goes into the memory of the host, and the request is restarted
// with whatever the memory then says.
func (b *behaviour) failedHost(m *Memory, plan Plan, f Failure, w Wording) Decision {
	r := &b.Fallback
	if f.Kind == FailAlert && f.Alert == wire.AlertInappropriateFallback && plan.SCSV {
		switch r.Refused {
		case "tolerate next version":
			m.rememberTolerant(plan.MaxVersion + 1)
		case "forget":
			m.forget()
		}
		return b.show(m, w)
	}
	if b.triggers(w.Error, plan.MaxVersion) {
		if slices.Contains(r.WeakFirst, w.Error) && plan.Variant != variantRC4 && !m.weak && !m.strong {
			m.weak = true
			return b.restart(m, plan, f, w)
		}
		if m.rememberIntolerant(plan.MaxVersion, wire.Version(r.Min), wire.Version(r.Limit)) {
			return b.restart(m, plan, f, w)
		}
	}
	return b.again(m, plan, f, w)
}

// triggers says whether the error starts a fallback from the version that was offered.
func (b *behaviour) triggers(name string, offered wire.Version) bool {
	for _, on := range b.Fallback.On {
		if on.Error == name {
			return offered > wire.Version(on.Above)
		}
	}
	return false
}

// restart begins the request anew on a connection planned from the memory, as long as attempts are left.
func (b *behaviour) restart(m *Memory, plan Plan, f Failure, w Wording) Decision {
	if plan.Attempt >= b.attempts() {
		return b.show(m, w)
	}
	next := b.first(m)
	if next.Kind == KindFirst {
		next.Kind = KindRetry
		if next.Variant != plan.Variant {
			next.Kind = KindFallback
		}
	}
	next.Attempt, next.Cause = plan.Attempt+1, f
	return Decision{Retry: true, Next: next, Delay: b.spread()}
}

// failedRequest is Chromium and its like: a list of weaker offers, walked within one request.
func (b *behaviour) failedRequest(m *Memory, plan Plan, f Failure, w Wording) Decision {
	if f.Kind == FailAlert && f.Alert == wire.AlertInappropriateFallback && plan.step > 0 && b.Fallback.Refused == "show cause" {
		return b.show(m, b.wording(plan.Cause))
	}
	at := plan.step
	for at < len(b.Fallback.Steps) && wire.Version(b.Fallback.Steps[at].Version) >= plan.MaxVersion {
		at++ // a browser whose own hello is already below that step
	}
	if at < len(b.Fallback.Steps) && b.triggers(w.Error, plan.MaxVersion) {
		s := b.Fallback.Steps[at]
		next := plan
		next.step, next.Kind, next.Attempt, next.Cause = at+1, KindFallback, plan.Attempt+1, f
		next.MaxVersion, next.Variant, next.SCSV = wire.Version(s.Version), s.Variant, b.Fallback.SCSV
		if s.SCSV != nil {
			next.SCSV = *s.SCSV
		}
		return Decision{Retry: true, Next: b.keyed(m, next), Delay: b.spread()}
	}
	return b.again(m, plan, f, w)
}

// again makes the same offer once more where the browser does so, else shows the error.
func (b *behaviour) again(m *Memory, plan Plan, f Failure, w Wording) Decision {
	limit := 1
	switch {
	case slices.Contains(b.Retry.Errors, w.Error):
		limit = b.attemptsOf(m)
	case slices.Contains(b.Retry.Once, w.Error):
		limit = 2
	}
	if plan.Attempt >= limit {
		return b.show(m, w)
	}
	next := plan
	if b.Fallback.Memory == "host" {
		next = b.first(m)
	}
	next.Kind, next.Attempt, next.Cause = retryKind(next), plan.Attempt+1, f
	if b.Retry.Variant != "" && plan.Attempt >= b.Retry.VariantAfter {
		next.Variant = b.Retry.Variant
	}
	return Decision{Retry: true, Next: next, Delay: b.spread()}
}

// retryKind keeps a fallback's name: repeating it does not make it the browser's own hello.
func retryKind(p Plan) string {
	if p.Kind == KindFallback {
		return KindFallback
	}
	return KindRetry
}

// requestFailed is a failure after the handshake: the connection broke under a request.
func (b *behaviour) requestFailed(m *Memory, plan Plan, f Failure, w Wording) Decision {
	broken := f.Kind == FailReset || f.Kind == FailEOF
	resend := f.ReusedConnection && b.manners.ResendReused && (f.Idempotent || !b.manners.ResendOnlySafe) || f.Idempotent && b.Manners.ResendNewSafe
	if !broken || f.AnswerBytes > 0 || !resend || plan.Attempt >= max(b.attempts(), 2) {
		return b.show(m, w)
	}
	next := b.first(m)
	next.Kind, next.Attempt, next.Cause = retryKind(next), plan.Attempt+1, f
	return Decision{Retry: true, Next: next}
}

// show ends the request with an error page.
func (b *behaviour) show(m *Memory, w Wording) Decision {
	d := Decision{UserSees: w.Shown, Wording: w}
	if r := b.Retry.Reloads; slices.Contains(b.Retry.Errors, w.Error) && int(m.pages) < len(r) {
		d.Reload = time.Duration(r[m.pages])
		m.pages++
	} else {
		m.pages = 0
	}
	return d
}

func (b *behaviour) attempts() int { return max(b.Retry.Attempts, 1) }

// attemptsOf is how many attempts this load makes: a page that reloads itself may make fewer.
func (b *behaviour) attemptsOf(m *Memory) int {
	if m.pages > 0 && b.Retry.ReloadAttempts > 0 {
		return b.Retry.ReloadAttempts
	}
	return b.attempts()
}

// refuses says whether the browser gives up although the handshake succeeded.
func (b *behaviour) refuses(plan Plan) (Wording, bool) {
	if plan.Kind == KindFallback && plan.MaxVersion < wire.Version(b.Fallback.Beyond) {
		return b.words["beyond_minimum"], true
	}
	return Wording{}, false
}

// spread is the pause before a retry: the measured burst, evenly.
func (b *behaviour) spread() time.Duration {
	if b.Retry.Attempts < 2 {
		return 0
	}
	return time.Duration(b.Retry.Within) / time.Duration(b.Retry.Attempts-1)
}

// The three functions below are the memory of Firefox (PSM), one entry per host and port. The entry
// holds tolerant < intolerant, and 0 for what is not known.

// rememberIntolerant notes that the server failed on a hello of at most version v. It says whether a
// lower one is worth trying; when there is none left, the belief is dropped altogether.
func (m *Memory) rememberIntolerant(v, lowest, limit wire.Version) bool {
	if v <= lowest || v <= limit {
		m.forget()
		return false
	}
	if v <= m.tolerant {
		return false // known to work: the fault lies elsewhere
	}
	if m.intolerant != 0 && v >= m.intolerant {
		return true // already known at a lower version
	}
	m.intolerant = v
	return true
}

// rememberTolerant notes that the server answered well to a hello of at most version v.
func (m *Memory) rememberTolerant(v wire.Version) {
	m.tolerant = max(m.tolerant, v)
	if m.intolerant != 0 && m.intolerant <= m.tolerant {
		m.intolerant = m.tolerant + 1
	}
}

// forget drops the belief that the server is intolerant; what it tolerated stays known.
func (m *Memory) forget() { m.intolerant, m.weak = 0, false }

// adjust lowers top to just below what the server is believed not to bear.
func (m *Memory) adjust(top, lowest wire.Version) wire.Version {
	if m.intolerant != 0 && lowest < m.intolerant {
		return min(top, m.intolerant-1)
	}
	return top
}
