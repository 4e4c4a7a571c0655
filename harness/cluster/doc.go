// Package cluster ties the coordinator of a run to its edges and agents: who is there, calls both ways,
// a start at one instant, statistics, and evidence that must not be lost.
//
// It owns no protocol on the network: NATS carries everything. The coordinator embeds a NATS server
// that opens no TCP port; children reach it through a Unix socket. Agents on other machines come over
// TCP with a token, and an existing NATS cluster can take the embedded server's place.
//
// Core NATS delivers at most once. What must arrive is therefore built here from requests:
//
//   - A call carries its own name and is asked again until it is answered or its context ends; the
//     callee runs it once however often it was asked.
//   - Evidence is numbered, spooled until acknowledged, and handed to the coordinator's sink in order,
//     each item once.
//   - Statistics are cumulative and sent as they come: a lost one is made good by the next.
//
// The package knows nothing of TLS, browsers or faults: payloads are JSON for calls and bytes for the
// rest.
package cluster
