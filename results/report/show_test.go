package report

import (
	"fmt"
	"os"
	"testing"

	"tlsurge/results"
)

func TestShow(t *testing.T) {
	p := os.Getenv("TLSURGE_SHOW")
	if p == "" {
		t.Skip()
	}
	run, err := results.LoadRun(p)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(Text(run, Options{All: os.Getenv("ALL") != ""})))
}
