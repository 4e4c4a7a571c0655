package profiles_test

import (
	"fmt"
	"log"
	"math/rand/v2"

	"tlsurge/profiles"
	"tlsurge/profiles/wire"
)

// A browser's first hello, and the lowered one that it sends after the first was cut.
func ExampleProfile_Hello() {
	p, err := profiles.Lookup("firefox-35-osx")
	if err != nil {
		log.Fatal(err)
	}
	params := &profiles.HelloParams{ServerName: "www.example.test", Random: rand.NewChaCha8([32]byte{42})}
	first, err := p.Hello(params)
	if err != nil {
		log.Fatal(err)
	}
	params.MaxVersion, params.SCSV = wire.TLS11, true
	lowered, err := p.Hello(params)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.Version, len(first.Suites), first.JA4())
	fmt.Println(lowered.Version, len(lowered.Suites), lowered.Suites[0])
	// Output:
	// TLS 1.2 16 t12d1609h4_2490b10d2092_50e68031a889
	// TLS 1.1 15 TLS_FALLBACK_SCSV
}

// The January 2015 thread in five lines: a cut handshake, a fallback, a server that cannot bear it.
func ExampleMemory() {
	p, err := profiles.Lookup("firefox-35-osx")
	if err != nil {
		log.Fatal(err)
	}
	m := p.NewMemory()
	cut := profiles.Failure{Kind: profiles.FailReset, AwaitingServerHello: true}
	refused := profiles.Failure{Kind: profiles.FailAlert, Alert: wire.AlertHandshakeFailure, AwaitingServerHello: true}
	plan := m.First()
	fmt.Println(plan.Kind, plan.MaxVersion)
	for _, f := range []profiles.Failure{cut, refused, refused} {
		d := m.Failed(plan, f)
		if !d.Retry {
			fmt.Println(d.UserSees)
			break
		}
		plan = d.Next
		fmt.Println(plan.Kind, plan.MaxVersion, plan.SCSV)
	}
	// Output:
	// first TLS 1.2
	// fallback TLS 1.1 true
	// fallback TLS 1.0 true
	// ssl_error_no_cypher_overlap
}
