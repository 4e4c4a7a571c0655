package report_test

import (
	"fmt"
	"strings"

	"tlsurge/results"
	"tlsurge/results/report"
)

// The last lines of the text are the verdict, so that they are what a terminal shows.
func ExampleText() {
	run, err := results.LoadRun("../testdata/january-2015")
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := strings.Split(strings.TrimSpace(string(report.Text(run, report.Options{}))), "\n")
	fmt.Println(strings.Join(lines[len(lines)-1:], "\n"))
	// Output:
	// VALID: the numbers can be trusted
}

// Markdown begins with what a reviewer has to know.
func ExampleMarkdown() {
	run, err := results.LoadRun("../testdata/january-2015")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.SplitN(string(report.Markdown(run)), "\n\n", 3)[1])
	// Output:
	// **70** of 1,350 page loads ended in an error users saw (5.2%), 30 were saved by a retry, 20 silently downgraded. Run **VALID**: the numbers can be trusted. Seed 42, 18.3 s, story=thread.
}
