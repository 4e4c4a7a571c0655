package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/harness/matrix"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles"
)

type matrixFlags struct {
	profiles, stacks, faults, set         []string
	protocols, ciphers, config, host, key string
	diff, html                            string
	prefer, returning, json, csv, kinds   bool
	seed                                  uint64
}

func (a *app) matrixCmd() *cobra.Command {
	var f matrixFlags
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Browsers x servers x faults: what each user sees, played in memory",
		Long: `matrix plays one page load of each profile against each server personality with each class of fault, in
memory and in virtual time, and prints what the user sees. It answers "whom would this configuration break?"
in seconds; a run on the real fleet confirms what matters.

With --diff it prints what differs from a stored table, browser by browser, and ends with 1 if anybody is worse
off than before (an error, a lower version or a retry where there was none), else with 0.`,
		Example: `  tlsurge matrix --profile 'firefox-3*' --fault none --fault 'reset at client_hello'
  tlsurge matrix --config /etc/nginx/nginx.conf --stack openssl-3.0 --html matrix.html
  tlsurge matrix --json > before.json; tlsurge matrix --ciphers 'AES128-SHA' --diff before.json
  tlsurge matrix --config nginx.conf --set 'ssl_protocols=TLSv1.2 TLSv1.3' --diff before.json --html change.html`,
		Args: exactly(0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.matrix(cmd.Context(), f) },
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.profiles, "profile", nil, "`pattern` of the profiles' names, or a TOML file; may be repeated (default: all)")
	fl.StringSliceVar(&f.stacks, "stack", nil, "server personalities (default: all)")
	fl.StringArrayVar(&f.faults, "fault", nil, "a `fault` to play, as 'reset at client_hello', with x2 for the first two attempts; may be repeated (default: those of --faults)")
	fl.BoolVar(&f.kinds, "faults", false, "list the faults that are played by default")
	fl.StringVar(&f.config, "config", "", "take protocols, ciphers and all else about TLS from this `file` in nginx's syntax (or builtin:NAME)")
	fl.StringArrayVar(&f.set, "set", nil, "lay a directive over the configuration: `name=value`; may be repeated")
	fl.StringVar(&f.host, "host", matrix.DefaultHost, "the `name` that browsers ask for: it chooses among server blocks")
	fl.StringVar(&f.key, "key", "rsa-2048", "the certificate's key: rsa-2048, ecdsa-p256, both")
	fl.StringVar(&f.protocols, "protocols", "", "`list` of nginx's names (default: all TLS versions of the stack)")
	fl.StringVar(&f.ciphers, "ciphers", "", "cipher `string` in OpenSSL's language (default: the stack's)")
	fl.BoolVar(&f.prefer, "prefer-server-ciphers", false, "the server's order of suites counts")
	fl.BoolVar(&f.returning, "returning", false, "each browser made an undisturbed visit before, and may hold a session")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of everything random")
	fl.StringVar(&f.diff, "diff", "", "print only what differs from this `file`, which matrix --json wrote")
	fl.StringVar(&f.html, "html", "", "write a heat-map page to this `file`, which must not exist")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	fl.BoolVar(&f.csv, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	for flag, names := range map[string]func() []string{"profile": profiles.Names, "stack": personalities, "fault": faultClasses,
		"key": func() []string { return []string{"rsa-2048", "ecdsa-p256", "both"} }} {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return names(), cobra.ShellCompDirectiveNoFileComp
		})
	}
	return cmd
}

func personalities() (names []string) {
	for _, st := range matrix.Personalities() {
		names = append(names, st.Name)
	}
	return names
}

func faultClasses() (names []string) {
	for _, c := range matrix.Classes() {
		names = append(names, matrix.Name(c))
	}
	return names
}

func (a *app) matrix(ctx context.Context, f matrixFlags) error {
	if f.kinds {
		_, err := fmt.Fprintln(a.out, strings.Join(faultClasses(), "\n"))
		return err
	}
	err := a.playMatrix(ctx, f)
	var ie *matrix.InputError
	if errors.As(err, &ie) {
		return usagef("%v", ie)
	}
	return err
}

func (a *app) playMatrix(ctx context.Context, f matrixFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	o.Skip = func(stack string, why error) { fmt.Fprintf(a.err, "tlsurge: %s is left out: %v\n", stack, why) }
	var before []matrix.Row
	if f.diff != "" {
		if before, err = matrix.Load(f.diff); err != nil {
			return usagef("--diff: %v", err)
		}
	}
	rows, err := matrix.Play(ctx, o)
	if err != nil {
		return err
	}
	var changes []matrix.Change
	gone := 0
	if f.diff != "" {
		changes, gone = matrix.Diff(before, rows)
	}
	if f.html != "" {
		page, err := matrix.Page(matrix.PageInput{Rows: rows, Changes: changes, Against: f.diff, Gone: gone, Setting: f.setting(), Seed: f.seed,
			Made: time.Now(), Version: version()})
		if err != nil {
			return err
		}
		if err := a.writeNew("--html", f.html, func(w io.Writer) error { _, err := w.Write(page); return err }); err != nil {
			return err
		}
	}
	if err := a.printMatrix(f, rows, changes, gone); err != nil {
		return err
	}
	if matrix.Regressed(changes) {
		return &exitError{code: exitFailed}
	}
	return nil
}

// printMatrix prints the form that was asked for; beside a page, text is left out unless it is a difference.
func (a *app) printMatrix(f matrixFlags, rows []matrix.Row, changes []matrix.Change, gone int) error {
	diff := f.diff != ""
	switch {
	case f.json && diff:
		return writeJSON(a.out, changes)
	case f.json:
		return writeJSON(a.out, rows)
	case f.csv && diff:
		return matrix.CSVDiff(a.out, changes)
	case f.csv:
		return matrix.CSV(a.out, rows)
	case diff:
		return matrix.TextDiff(a.out, changes, gone)
	case f.html != "":
		_, err := fmt.Fprintf(a.out, "%s: %s\n", f.html, matrix.Tally(rows))
		return err
	}
	return matrix.Text(a.out, rows)
}

// options are the flags in the matrix's own terms.
func (f *matrixFlags) options() (o matrix.Options, err error) {
	o = matrix.Options{Returning: f.returning, Seed: f.seed, Servers: matrix.Servers{Host: f.host, Ciphers: f.ciphers, PreferServer: f.prefer,
		Protocols: strings.FieldsFunc(f.protocols, func(r rune) bool { return r == ' ' || r == ',' }), Config: f.config, Key: f.key, Set: map[string]string{}}}
	seen := map[string]bool{}
	for _, pattern := range f.profiles {
		list, err := matrix.Browsers(pattern)
		if err != nil {
			return o, usagef("--%v", err)
		}
		for _, p := range list {
			if !seen[p.Name] {
				seen[p.Name] = true
				o.Profiles = append(o.Profiles, p)
			}
		}
	}
	for _, n := range f.stacks {
		st, err := stack.Lookup(n)
		if err != nil {
			return o, usagef("--stack: %v", err)
		}
		o.Stacks = append(o.Stacks, st)
	}
	for _, text := range f.faults {
		fault, err := matrix.ParseFault(text)
		if err != nil {
			return o, usagef("--%v", err)
		}
		o.Faults = append(o.Faults, fault)
	}
	for _, kv := range f.set {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return o, usagef("--set %s: want directive=value, as ssl_session_tickets=off", kv)
		}
		o.Servers.Set[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return o, nil
}

// setting says in words what the servers and browsers were told.
func (f *matrixFlags) setting() string {
	var said []string
	add := func(words, value string) {
		if value != "" {
			said = append(said, words+" "+value)
		}
	}
	add("configuration", f.config)
	for _, kv := range f.set {
		add("with", kv)
	}
	add("protocols", f.protocols)
	add("ciphers", f.ciphers)
	if f.prefer {
		said = append(said, "the server's order of suites counts")
	}
	add("key", f.key)
	if f.returning {
		said = append(said, "every browser has been here before")
	}
	return "Setting: " + strings.Join(said, "; ") + "."
}
