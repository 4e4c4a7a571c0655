// Command bogoshim lets BoringSSL's test suite, BoGo, drive our engine: it speaks the shim protocol of
// ssl/test/PORTING.md in google/boringssl. The runner starts it once per test with flags that say which
// side to be and what to expect; it connects back, says its number, and plays.
//
// What it is asked for and cannot do ends with exit code 89, which the runner counts as unimplemented.
// README.md says how to run it; config.json lists the tests that are switched off, each with its reason.
package main

import (
	"fmt"
	"os"
)

// exitUnimplemented tells the runner that a flag is not for this shim.
const exitUnimplemented = 89

func main() {
	first, later, err := parseFlags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUnimplemented)
	}
	if first.handshaker {
		fmt.Println("No")
		return
	}
	shim := newShim(first)
	for i := 0; i <= first.resumeCount; i++ {
		o := first
		if i > 0 {
			o = later
		}
		if err := shim.connect(o, i > 0); err != nil {
			fmt.Fprintf(os.Stderr, "connection %d: %v\n", i+1, err)
			if _, ok := err.(unimplemented); ok {
				os.Exit(exitUnimplemented)
			}
			os.Exit(1)
		}
		shim.now = shim.now.Add(o.delay)
	}
}
