// Package evidence is what a run leaves beside its numbers when it was asked to capture: the packets of
// both ends of each connection with the keys to read them, a comment on each packet that a fault hit, both
// ends' logs joined on the connection, and a picture of the browsers that fared worst.
//
// It records packets and explains them after the run. It injects nothing, decrypts nothing (a reader such
// as Wireshark does, with the keys in the file), and computes no number of the run: attempts, firings and
// log lines are results'.
//
//	packets of a namespace -> spool   while the run lasts (ring.go, filter.go, capture.go)
//	spool -> flows                    one connection as one end saw it (segment.go, flows.go)
//	firing + flows -> marks           which packets a fault hit, and why we think so (hits.go)
//	spool + marks + keys -> files     client.pcapng, server.pcapng, keys.log (write.go, keys.go)
//	attempts, firings, log lines      joined.jsonl (joined.go), timeline.svg (timeline.go, picture.go)
package evidence

import "tlsurge/results/report"

// Names of the files, all in the directory evidence/ of a run.
const (
	Dir          = report.EvidenceDir // where the page looks for it
	ClientFile   = "client.pcapng"
	ServerFile   = "server.pcapng"
	KeysFile     = "keys.log"
	JoinedFile   = "joined.jsonl"
	TimelineFile = report.TimelineFile

	// spoolFile holds the packets of both ends while the run lasts; a run that was killed leaves it behind.
	spoolFile = "packets.pcapng"
)
