package capacity

import (
	"fmt"
	"slices"
	"time"

	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// Preset is a published procedure: its times and limits, and what a search left out of it.
type Preset struct {
	Name     string        `json:"name"`
	Section  string        `json:"section"` // of the document, for what is turned up
	Ramp     time.Duration `json:"ramp_up_ns"`
	Hold     time.Duration `json:"sustain_ns"`
	RampDown time.Duration `json:"ramp_down_ns"`
	Object   int64         `json:"object_bytes"`
	Limits   Limits        `json:"-"`
	// Suites are the cipher suites that were negotiated. Departures say in what the search is not what the document
	// asks for.
	Suites     []string `json:"suites"`
	Departures []string `json:"departures"`

	key string // of the fleet's certificate; empty: the target's, which nobody knows
}

// RFC 9411, Benchmarking Methodology for Network Security Device Performance: section 4.3.4 gives the phases of a
// test, sections 7.6, 7.7 and 7.9 the tests with HTTPS traffic and their validation criteria.
const (
	rfc9411Ramp    = 180 * time.Second
	rfc9411Sustain = 300 * time.Second
	rfc9411Share   = 0.00001 // failed transactions, and connections that a RST ended: below 0.001 %
	rfc9411Steady  = 0.05    // "constant" is within 5 % of the mean
)

// rfc9411Objects are the sizes of section 7: 1, 2, 4, 16 and 64 KB for connections per second, up to 256 KB for
// throughput, 1 KB for connection capacity.
var rfc9411Objects = map[Dimension][]int64{
	Handshakes:  {1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10},
	Requests:    {1 << 10, 16 << 10, 64 << 10, 256 << 10},
	Connections: {1 << 10},
}

var rfc9411Sections = map[Dimension]string{
	Handshakes:  "7.6 TCP or QUIC connections per second with HTTPS traffic",
	Requests:    "7.7 HTTPS throughput",
	Connections: "7.9 concurrent TCP or QUIC connection capacity with HTTPS traffic",
}

// rfc9411Suites are those that section 4.3.1 asks a client to offer, with the key of the certificate that each goes with;
// TLS 1.3's go with any.
var rfc9411Suites = map[string]string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ecdsa-p256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "rsa-2048",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ecdsa-p384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "rsa-4096",
	"TLS_AES_128_GCM_SHA256": "", "TLS_AES_256_GCM_SHA384": "", "TLS_CHACHA20_POLY1305_SHA256": "", "TLS_AES_128_CCM_SHA256": "",
}

// RFC9411 is that document's procedure for what is turned up, with objects of the given size; 0 is the smallest.
func RFC9411(d Dimension, object int64) (*Preset, error) {
	sizes := rfc9411Objects[d]
	if object == 0 {
		object = sizes[0]
	}
	p := &Preset{Name: "rfc9411", Section: rfc9411Sections[d], Ramp: rfc9411Ramp, Hold: rfc9411Sustain, RampDown: rfc9411Ramp,
		Object: object, Limits: DefaultLimits(), Departures: []string{}}
	p.Limits.ErrorShare, p.Limits.ResetShare, p.Limits.Deviation = rfc9411Share, rfc9411Share, rfc9411Steady
	if !slices.Contains(sizes, object) {
		return nil, fmt.Errorf("an object of %d bytes: RFC 9411, section %s has %d", object, p.Section, sizes)
	}
	return p, nil
}

// Traffic makes a scenario's load that of the document: GET requests for one object, whose status and length are
// checked; one for each connection where connections per second are counted; no session is resumed.
func (p *Preset) Traffic(sc *scenario.Scenario, d Dimension) {
	sc.Load.URLs = []scenario.URL{{Weight: 1, Method: "GET", Path: fmt.Sprintf("/bytes/%d", p.Object), Check: scenario.Check{Status: 200, Bytes: p.Object}}}
	sc.Load.Shape, sc.Load.Lifetime = nil, scenario.DurationRange{}
	sc.Load.Model, sc.Load.OneRequest = "open", false
	if d == Handshakes {
		sc.Load.Model, sc.Load.OneRequest = "handshake", true
	}
	for i := range sc.Browsers {
		sc.Browsers[i].Returning = 0
	}
	p.key = sc.Fleet.Key
	if sc.Target != nil {
		p.key = ""
		p.Departures = append(p.Departures, fmt.Sprintf("the target has to serve %s itself", sc.Load.URLs[0].Path))
	}
}

// Depart notes a time that is not the document's.
func (p *Preset) Depart(what string, is, want time.Duration) {
	if is < want {
		p.Departures = append(p.Departures, fmt.Sprintf("%s of %v, the document has %v", what, is, want))
	}
}

// see notes what a run negotiated.
func (p *Preset) see(run *results.Run) {
	if p == nil {
		return
	}
	for suite := range run.Handshakes.BySuite {
		if slices.Contains(p.Suites, suite) {
			continue
		}
		p.Suites = append(p.Suites, suite)
		slices.Sort(p.Suites)
		switch key, named := rfc9411Suites[suite]; {
		case !named:
			p.Departures = append(p.Departures, fmt.Sprintf("%s was negotiated, which the document does not name", suite))
		case key != "" && p.key != "" && key != p.key:
			p.Departures = append(p.Departures, fmt.Sprintf("%s was negotiated over a key of %s, where the document has %s", suite, p.key, key))
		}
	}
	if run.Handshakes.ResumptionAsked > 0 && !slices.Contains(p.Departures, resumes) {
		p.Departures = append(p.Departures, resumes)
	}
}

const resumes = "browsers resume sessions that they got in the run itself"
