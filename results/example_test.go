package results_test

import (
	"fmt"

	"tlsurge/results"
)

// A threshold is a path into run.json and a condition on what stands there.
func ExampleParseThreshold() {
	run, err := results.LoadRun("testdata/january-2015")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range [][2]string{
		{"users.saw_error.rate", "< 0.1%"},
		{"users[phase=trigger-gone].saw_error", "== 0"},
		{"latency.handshake.response_time.p99", "< 250 apples"},
	} {
		t, err := results.ParseThreshold(line[0], line[1])
		if err != nil {
			fmt.Println(err)
			continue
		}
		r := t.Evaluate(run)
		fmt.Printf("%s: observed %s, pass %v\n", r.Expression, results.FormatValue(r.Observed, r.Unit), r.Pass)
	}
	// Output:
	// users.saw_error.rate < 0.1%: observed 5.185%, pass false
	// users[phase=trigger-gone].saw_error == 0: observed 0, pass true
	// threshold "latency.handshake.response_time.p99" = "< 250 apples": unit "apples"; allowed: % for shares; ns us ms s m for times; B kB MB GB KiB MiB GiB for sizes; /s for rates; nothing for counts
}
