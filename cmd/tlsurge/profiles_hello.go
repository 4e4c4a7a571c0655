package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/profiles"
	"tlsurge/profiles/hello"
)

// fixedClock is the time that a seeded hello carries, where its browser puts the clock into the random:
// the thread's first log line.
var fixedClock = time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)

func (a *app) profilesHelloCmd() *cobra.Command {
	var s profiles.Sample
	var asHex, asJSON bool
	cmd := &cobra.Command{
		Use:   "hello NAME|FILE.toml",
		Short: "Build one ClientHello of a profile and print it",
		Long: `hello builds one ClientHello as the profile sends it and prints its fields, or with --hex one lower-case
line: whole records with their headers. With --seed everything random, and the clock that some browsers put
into the random, is fixed: the same seed gives the same bytes.`,
		Example: `  tlsurge profiles hello firefox-35-osx
  tlsurge profiles hello firefox-35-osx --attempt fallback --hex
  tlsurge profiles hello chrome-40-osx --resume ticket --seed 1 --hex`,
		Args: exactly(1, "a profile's name or a TOML file"), ValidArgsFunction: profileNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := findProfile(args[0])
			if err != nil {
				return err
			}
			s.Now = fixedClock
			if !cmd.Flags().Changed("seed") {
				s.Seed, s.Now = rand.Uint64(), time.Now()
			}
			ch, err := p.Sample(s)
			if err != nil {
				return usagef("%v", err)
			}
			return a.printHello(ch, asHex, asJSON)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&s.Attempt, "attempt", "first", "first, or fallback: the lowered hello that follows a cut first handshake")
	fl.StringVar(&s.Resume, "resume", "none", "session offered: none, id, ticket or psk")
	fl.StringVar(&s.ServerName, "sni", "www.example.test", "host in server_name, if the profile sends one")
	fl.Uint64Var(&s.Seed, "seed", 0, "seed of all random fields (default: drawn)")
	fl.BoolVar(&asHex, "hex", false, "print the records as one line of hex")
	fl.BoolVar(&asJSON, "json", false, "print the decoded fields as JSON")
	return cmd
}

func (a *app) printHello(ch *hello.ClientHello, asHex, asJSON bool) error {
	if asHex {
		_, err := fmt.Fprintln(a.out, hex.EncodeToString(ch.AppendRecords(nil)))
		return err
	}
	fields := describeHello(ch)
	if asJSON {
		m := map[string]any{}
		for _, x := range fields {
			m[x.name] = x.value
		}
		return writeJSON(a.out, m)
	}
	for _, x := range fields {
		text := fmt.Sprint(x.value)
		if list, ok := x.value.([]string); ok {
			text = strings.Join(list, "\n"+strings.Repeat(" ", 22))
		}
		fmt.Fprintf(a.out, "%-21s %s\n", x.name, text)
	}
	return nil
}
