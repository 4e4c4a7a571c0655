// Package report words a run for those who act on it: a person at a terminal, a reader of a page, a
// pull request, a CI system, a scraper of metrics. Every function is pure, a Run in, bytes out, but for
// Load and WriteHTML, which read and write a run directory.
//
// It owns words, order and pictures. It computes no result of its own: what is not in run.json (or in
// latency.hlog, for the percentile curve) is not in a report.
package report
