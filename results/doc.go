// Package results is the numbers: what happened to each attempt, what each user saw, how long it took,
// and which fault caused it. It records in the agents, merges in the coordinator, joins outcomes with
// the fault ledger and the edges' logs, and writes a run directory.
//
// It does not decide what an error means (harness/classify does) nor what a browser would do (profiles).
package results
