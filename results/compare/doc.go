// Package compare says whether a new build or configuration is worse than the one before, and refuses
// to say it where the samples cannot support it.
//
// It needs samples only: rounds of both sides, measured by `tlsurge bench` or read from stored runs.
// Continuous metrics are held against each other with a rank test (Mann-Whitney, from benchmath, which
// assumes nothing about distributions), or, where both sides of a round were measured side by side, with
// Wilcoxon's signed rank test on the rounds' differences; shares of events with Fisher's exact test. A difference counts
// when it is significant after correction for the number of metrics (Holm) and large enough to matter.
//
// It does not run anything and does not decide what is measured.
package compare
