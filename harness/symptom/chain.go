package symptom

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tlsurge/results"
)

// Chain is what one client did about a failure: connections to one server that follow each other closely.
type Chain struct {
	Client   string   `json:"client"` // address
	Server   string   `json:"server"`
	Profiles []string `json:"profiles,omitempty"` // whose first hello it looks like, best first
	Attempts []Link   `json:"attempts"`
}

// Link is one connection of a chain.
type Link struct {
	Start   time.Time     `json:"start"`
	Offered string        `json:"offered_version,omitempty"`
	SCSV    bool          `json:"fallback_scsv,omitempty"`
	Class   results.Class `json:"class,omitempty"` // ok, or empty where nothing can be said
	Alert   int           `json:"alert"`
	Sender  string        `json:"alert_sender,omitempty"`
	Stage   string        `json:"stage,omitempty"`
	Text    string        `json:"text"`
}

// String is the chain on one line.
func (c Chain) String() string {
	var parts []string
	for i := 0; i < len(c.Attempts); {
		again := i + 1
		for again < len(c.Attempts) && c.Attempts[again].like(c.Attempts[i]) {
			again++
		}
		text := c.Attempts[i].Text
		if n := again - i; n > 1 {
			text = fmt.Sprintf("%d × %s", n, text)
		}
		parts = append(parts, text)
		i = again
	}
	who := ""
	if len(c.Profiles) > 0 {
		who = " (" + c.Profiles[0] + ")"
	}
	return fmt.Sprintf("%s%s to %s: %s", c.Client, who, c.Server, strings.Join(parts, "; then "))
}

// like says whether two connections ended in the same way.
func (l Link) like(o Link) bool {
	return l.Offered == o.Offered && l.SCSV == o.SCSV && l.Class == o.Class && l.Alert == o.Alert && l.Sender == o.Sender && l.Stage == o.Stage
}

// soonAfter is how long after a failed attempt the next one still belongs to it.
const soonAfter = 10 * time.Second

// chains joins attempts of one client address with one server, or several on one port, where one failed and the next began soon
// after. Attempts are in the order of their start.
func chains(attempts []attempt) []Chain {
	type pair struct {
		client netip.Addr
		port   uint16 // of the server: a name may have several addresses
	}
	open := map[pair][]attempt{}
	var out []Chain
	closeChain := func(list []attempt) {
		failed := false
		for _, a := range list {
			failed = failed || a.Class != results.ClassOK && a.Class != ""
		}
		if failed && len(list) > 1 && len(out) < mostChains {
			out = append(out, chainOf(list))
		}
	}
	for _, a := range attempts {
		k := pair{a.client.Addr(), a.server.Port()}
		if list := open[k]; len(list) > 0 {
			before := list[len(list)-1]
			if before.Class == results.ClassOK || a.start.Sub(before.ended()) > soonAfter || a.anew(before) {
				closeChain(list)
				open[k] = nil
			}
		}
		open[k] = append(open[k], a)
	}
	for _, a := range attempts { // in order, for a report that is the same each time
		k := pair{a.client.Addr(), a.server.Port()}
		closeChain(open[k])
		delete(open, k)
	}
	return out
}

// anew says whether a hello cannot follow from what became of the one before: a browser that has lowered its version
// for a page load does not raise it again in the same one.
func (a attempt) anew(before attempt) bool {
	return a.hello != nil && before.hello != nil && before.hello.SCSV && !a.hello.SCSV
}

func (a attempt) ended() time.Time {
	if a.end.how != "" {
		return a.end.at
	}
	return a.last
}

func chainOf(list []attempt) Chain {
	c := Chain{Client: list[0].client.Addr().String(), Server: list[0].server.String()}
	for _, a := range list {
		l := Link{Start: a.start, Class: a.Class, Alert: a.Alert, Sender: a.Sender, Stage: a.Stage, Text: a.words()}
		if a.hello != nil {
			l.Offered, l.SCSV = a.hello.Version, a.hello.SCSV
			if len(c.Profiles) == 0 {
				c.Profiles = a.hello.Profiles
			}
		}
		c.Attempts = append(c.Attempts, l)
	}
	return c
}

// words tell one connection: "TLS 1.1 with FALLBACK_SCSV: alert 86 from the server at client_hello after 12ms".
func (a attempt) words() string {
	var b strings.Builder
	switch {
	case a.hello != nil && a.hello.SCSV:
		fmt.Fprintf(&b, "%s with FALLBACK_SCSV: ", a.hello.Version)
	case a.hello != nil:
		fmt.Fprintf(&b, "%s: ", a.hello.Version)
	}
	switch e := a.end; {
	case a.Class == results.ClassOK:
		b.WriteString("fine")
	case e.how == "alert" && e.alert >= 0:
		fmt.Fprintf(&b, "alert %d from the %s", e.alert, e.sender)
	case e.how == "alert":
		fmt.Fprintf(&b, "an encrypted alert from the %s", e.sender)
	case e.how == "rst":
		fmt.Fprintf(&b, "reset by the %s", e.sender)
	case e.how == "fin":
		fmt.Fprintf(&b, "closed by the %s", e.sender)
	default:
		b.WriteString("closed by nobody")
	}
	if a.Class != results.ClassOK {
		fmt.Fprintf(&b, " at %s after %v", a.Stage, a.ended().Sub(a.start).Round(time.Millisecond))
	}
	if n := a.half[0].retrans + a.half[1].retrans; n > 0 {
		fmt.Fprintf(&b, ", %d segments sent again", n)
	}
	return b.String()
}
