package report

import (
	"fmt"
	"strings"

	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// offerWords says what an attempt offered: "fallback, TLS 1.1 +SCSV".
func offerWords(s results.ChainStep) string {
	offer := s.Kind
	if s.Remembered {
		offer = "remembered"
	}
	if s.Offered != "" {
		offer += ", " + s.Offered
	}
	if s.SCSV {
		offer += " +SCSV"
	}
	return offer
}

// endWords says how an attempt ended, in the terms of the wire.
func endWords(s results.ChainStep) string {
	at := ""
	if s.Stage != "" {
		at = " at " + s.Stage
	}
	switch s.Class {
	case results.ClassOK:
		if s.Version != "" {
			return "completed with " + s.Version
		}
		return "completed"
	case results.ClassReset:
		return "TCP reset" + at
	case results.ClassEOF:
		return "closed (FIN)" + at
	case results.ClassPeerAlert:
		return alertWords(s.Alert)
	case results.ClassLocalAlert:
		return "the browser sent " + alertWords(s.Alert)
	case results.ClassHandshakeTimeout:
		return "no answer in time" + at
	}
	return strings.ReplaceAll(string(s.Class), "_", " ") + at
}

func alertWords(n int) string {
	if n < 0 || n > 255 {
		return "an alert"
	}
	return fmt.Sprintf("alert %d %s", n, wire.AlertDescription(n))
}

// logLine is the line that the edge logged about an attempt; empty where it logged nothing.
func logLine(s results.ChainStep) string {
	if s.ServerLogs == "" && s.LogReason == "" {
		return ""
	}
	return fmt.Sprintf("[%s] %s", s.LogLevel, strings.TrimSpace(s.ServerLogs+" "+s.LogReason))
}

// blow words an action and its place: "reset at server_hello".
func blow(action, at string) string {
	action = strings.ReplaceAll(action, "_", " ")
	if at == "" || at == "none" {
		return action
	}
	return action + " at " + at
}

// verdictWords says what a page load was for the person in front of it.
func verdictWords(v results.PageVerdict, sees string) string {
	switch v {
	case results.SawError:
		if sees == "" {
			return "the user sees an error"
		}
		return "the user sees " + sees
	case results.Downgraded:
		return "the page loads, silently downgraded"
	case results.SavedByRetry:
		return "the page loads, saved by the retry"
	case results.Fine:
		return "the page loads, unharmed"
	}
	return "a connection that no page waited for"
}

// stateWords says what a verdict means for the reader.
func stateWords(s results.State) string {
	switch s {
	case results.Valid:
		return "the numbers can be trusted"
	case results.Suspect:
		return "read the reasons before the numbers"
	}
	return "the run did not do what it was asked to do"
}

// evidenceMeanings explains the files of evidence/.
var evidenceMeanings = map[string]string{
	"client.pcapng": "what the clients sent and what arrived at them, with the keys to decrypt it; comments begin with ATTEMPT, FAULT, END",
	"server.pcapng": "the same at the servers' end, with their log lines as comments",
	"keys.log":      "the TLS secrets, in the format of SSLKEYLOGFILE",
	"joined.jsonl":  "each attempt with what the client, the fault and the edge's log say of it, in order of time",
	"timeline.svg":  "the browsers that fared worst, attempt by attempt",
}

// kernelMeanings explains the counters worth a line, in the order they are shown.
var kernelMeanings = []struct{ name, meaning string }{
	{"peak.CurrEstab", "most sockets ESTABLISHED or CLOSE-WAIT at once, both ends of each connection here"},
	{"peak.TimeWait", "most sockets in TIME_WAIT at once"},
	{"ActiveOpens", "connections begun from here"},
	{"PassiveOpens", "connections accepted here"},
	{"AttemptFails", "connections that failed before they were established"},
	{"EstabResets", "established connections that a reset ended"},
	{"OutRsts", "resets sent"},
	{"RetransSegs", "segments sent again"},
	{"TCPSynRetrans", "SYNs sent again: the first one, or its answer, was lost"},
	{"TCPTimeouts", "retransmission timers that ran out"},
	{"TCPLossProbes", "tail-loss probes sent"},
	{"TCPAbortOnData", "resets sent because bytes were left unread"},
	{"TCPAbortOnClose", "resets sent because a socket was closed with unread bytes"},
	{"ListenOverflows", "SYNs or ACKs dropped because an accept queue was full"},
	{"ListenDrops", "SYNs dropped by a listener for any reason"},
	{"TCPReqQFullDrop", "SYNs dropped because the SYN queue was full"},
	{"TCPTimeWaitOverflow", "sockets denied TIME_WAIT because there were too many"},
	{"TCPBacklogDrop", "segments dropped because a socket's backlog was full"},
	{"TCPRcvQDrop", "segments dropped because a receive queue was full"},
}

// times words how often something happened.
func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return count(n) + " times"
}
