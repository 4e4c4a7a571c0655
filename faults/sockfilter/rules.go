package sockfilter

import (
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// Record and handshake numbers (RFC 8446 §5.1, §4; RFC 5246 §7.4), and the first word of the random that
// makes a ServerHello a HelloRetryRequest (RFC 8446 §4.1.3, Server Hello).
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplicationData  = 23

	typeServerHello       = 2
	typeCertificate       = 11
	typeCertificateVerify = 15
	typeClientKeyExchange = 16

	retryRandomWord   = 0xcf21ad74
	offServerRandom   = 5 + 4 + 2 // record header, message header, legacy_version
	retryRandomNeeded = offServerRandom + 4 - 1
)

// ClientProgram is what the agent attaches to its own socket for a rule. Where a stage's bytes have no
// mark of their own the program drops all payload, and the moment of attaching makes it exact: see ArmClient.
func ClientProgram(r *faults.Rule) (Program, error) {
	if r.PerPacket {
		return dropShare(r.Probability), nil
	}
	if r.Action == faults.Blackhole {
		return dropEverything(), nil
	}
	switch r.At {
	case stage.SynAck:
		return matchFlags("SYN-ACK segments", flagSYN|flagACK).program(), nil
	case stage.ServerHello, stage.ServerFinished, stage.Response:
		return matchPayload("segments with payload", 0).program(), nil
	case stage.Alert:
		return matchAlert().program(), nil
	case stage.HelloRetryRequest:
		return matchRetry().program(), nil
	}
	return Program{}, unsupportedStage(r)
}

// matchAlert takes segments that begin with an alert in the clear: two bytes of fragment, where a protected
// one (close_notify at the end of most connections) has a MAC besides.
func matchAlert() match {
	m := matchRecord("segments that begin with an alert in the clear", recordAlert)
	long := matchPayload(m.doc, 4)
	long.step(m.code[len(matchPayload("", 0).code):]...)
	long.step(bpf.LoadIndirect{Off: 3, Size: 2})
	long.check(bpf.JumpEqual, 2)
	return long
}

// matchRetry takes segments that begin with a HelloRetryRequest.
func matchRetry() match {
	m := matchHandshake("segments that begin with a HelloRetryRequest", typeServerHello)
	long := matchPayload(m.doc, retryRandomNeeded) // the random's first word must be there before it is loaded
	long.step(m.code[len(matchPayload("", 5).code):]...)
	long.step(bpf.LoadIndirect{Off: offServerRandom, Size: 4})
	long.check(bpf.JumpEqual, retryRandomWord)
	return long
}

// listenerMatch is what an edge's listener drops of the segments from the rule's sources.
func listenerMatch(r *faults.Rule) (match, error) {
	switch r.At {
	case stage.Syn:
		return matchFlags("SYN segments", flagSYN), nil
	case stage.ClientHello:
		// All payload: whatever the client says first is its hello, and while that is lost nothing else is read.
		return matchPayload("segments with payload", 0), nil
	case stage.ClientKeyExchange:
		return matchHandshake("segments that begin with Certificate, ClientKeyExchange or CertificateVerify",
			typeClientKeyExchange, typeCertificate, typeCertificateVerify), nil
	case stage.Finished:
		return matchRecord("segments that begin with ChangeCipherSpec", recordChangeCipherSpec), nil
	case stage.Request:
		return matchRecord("segments that begin with application data", recordApplicationData), nil
	}
	return match{}, unsupportedStage(r)
}

func unsupportedStage(r *faults.Rule) error {
	return &faults.UnsupportedError{Engine: faults.EngineSockfilter, What: fmt.Sprintf("%s at %s", r.Action, r.At),
		Reason: "no filter can tell this stage's segments apart", Instead: `engine = "relay"`}
}

// ListenerProgram is what an edge attaches to its listener for those of the phase's rules that act on the
// way to the server; ok is false if there are none. Segments from released addresses pass again at syn.
func ListenerProgram(rules []faults.Rule, released []netip.Addr) (p Program, ok bool, err error) {
	for i := range rules {
		r := &rules[i]
		if !r.OnListener() {
			continue
		}
		m, err := listenerMatch(r)
		if err != nil {
			return Program{}, false, err
		}
		free := released
		if r.At != stage.Syn {
			free = nil
		}
		for _, prefix := range sourcesOf(r) {
			p.code = append(p.code, m.from(prefix, free)...)
		}
		if ok {
			p.Doc += "; "
		}
		p.Doc += fmt.Sprintf("%s from %s (%s)", m.doc, faults.SourcePrefix(r), r.Name)
		ok = true
	}
	p.code = append(p.code, keep)
	return p, ok, nil
}

// sourcesOf lists the subnets that armed connections of a rule come from: loopback's and IPv6's.
func sourcesOf(r *faults.Rule) []netip.Prefix {
	return []netip.Prefix{faults.SourcePrefix(r), faults.SourcePrefix6(r)}
}
