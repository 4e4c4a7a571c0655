package repro

import (
	"iter"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/trial"
)

// base is a stack with the configuration that is searched from: the report's own, else a built-in one of the
// stack's time.
func base(config, stackName string) Setting {
	s := Setting{Stack: stackName, Config: config}
	if config != "" {
		return s
	}
	switch stackName {
	case "openssl-1.1.1", "openssl-3.0":
		s.Config = "builtin:edge.conf"
		return s.with("ssl_protocols", "TLSv1.2 TLSv1.3")
	}
	s.Config = "builtin:fl-ssl.conf"
	return s
}

// variants are the servers that differ from base in one thing that a handshake can fail on. A configuration that
// was handed in excludes them: it says what the server does.
func variants(config, stackName string) (list []Setting) {
	if config != "" {
		return nil
	}
	s := base("", stackName)
	for _, v := range []struct{ name, args string }{
		{"ssl_protocols", "TLSv1"}, {"ssl_protocols", "TLSv1.2"}, {"ssl_protocols", "TLSv1.3"}, {"ssl_protocols", "TLSv1 TLSv1.1 TLSv1.2"},
		{"ssl_ciphers", "RC4-SHA:RC4-MD5"}, {"ssl_ciphers", "ECDHE+AESGCM"}, {"ssl_ciphers", "AES128-SHA"}, {"ssl_ciphers", "kEDH+AES"},
		{"ssl_ciphers", "DES-CBC3-SHA"}, {"ssl_ecdh_curve", "secp521r1"}, {"ssl_reject_handshake", "on"}, {"ssl_session_tickets", "off"},
		{"ssl_session_cache", "off"},
	} {
		list = append(list, s.with(v.name, v.args))
	}
	ec := s
	ec.Key = "ecdsa-p256"
	return append(list, ec)
}

// cuts are the ways in which a first handshake is lost to a close: what starts a fallback.
var cuts = []trial.Fault{
	{Action: faults.Reset, At: stage.ClientHello},
	{Action: faults.FIN, At: stage.ClientHello},
	{Action: faults.Drop, At: stage.ClientHello},
}

// all is the same fault of every attempt.
func all(list []trial.Fault) (out []trial.Fault) {
	for _, f := range list {
		f.Attempts = everyAttempt
		out = append(out, f)
	}
	return out
}

// damages is every fault that can be played in memory, by stage.
func damages() (list []trial.Fault) {
	list = append(list, trial.Fault{Action: faults.CertExpired})
	for _, at := range stage.All() {
		for _, f := range []trial.Fault{
			{Action: faults.Reset}, {Action: faults.FIN}, {Action: faults.Drop}, {Action: faults.Stall}, {Action: faults.Blackhole},
			{Action: faults.Truncate, Bytes: 1}, {Action: faults.Truncate, Bytes: 300},
			{Action: faults.Corrupt, Part: faults.PartHeader}, {Action: faults.Corrupt, Part: faults.PartBody}, {Action: faults.Corrupt, Part: faults.PartMAC},
		} {
			f.At = at
			if f.Playable() {
				list = append(list, f)
			}
		}
	}
	return list
}

// systematic enumerates servers and faults without an opinion, the plainest first. The order is the same each
// time; a budget only cuts it.
func systematic(config string, stacks []string) iter.Seq[Candidate] {
	core := append([]trial.Fault{{}}, append(cuts, all(cuts)...)...)
	every := damages()
	rings := []struct {
		settings func(string, string) []Setting
		faults   []trial.Fault
	}{
		{bases, core}, {bases, every}, {variants, core}, {bases, all(every)}, {variants, every}, {variants, all(every)},
	}
	return func(yield func(Candidate) bool) {
		for _, ring := range rings {
			for _, st := range stacks {
				for _, s := range ring.settings(config, st) {
					for _, f := range ring.faults {
						c := Candidate{Cause: enumerated, Why: "no rule names it: servers and faults in order", Recipe: Recipe{Acts: []Setting{s}}}
						if f.Action != "" {
							c.Recipe.Faults = []trial.Fault{f}
						}
						if !yield(c) {
							return
						}
					}
				}
			}
		}
	}
}

func bases(config, stackName string) []Setting { return []Setting{base(config, stackName)} }

// enumerated is the cause of candidates that no rule names.
const enumerated = "enumerated"
