package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/trial"
	"tlsurge/profiles"
	"tlsurge/results"
)

const matrixHost = "www.example.test"

// matrixFaults are the classes of damage that the table asks about.
var matrixFaults = []trial.Fault{
	{},
	{Action: faults.Reset, At: stage.ClientHello},
	{Action: faults.FIN, At: stage.ClientHello},
	{Action: faults.Reset, At: stage.ServerHello},
	{Action: faults.Stall, At: stage.ServerHello},
	{Action: faults.Reset, At: stage.Finished},
}

// matrixRow is one cell of the table: what a user of this browser sees.
type matrixRow struct {
	Profile  string              `json:"profile"`
	Stack    string              `json:"stack"`
	Fault    string              `json:"fault"`
	Verdict  results.PageVerdict `json:"verdict"`
	UserSees string              `json:"user_sees,omitempty"`
	Attempts int                 `json:"attempts"`
	Logs     string              `json:"server_logs,omitempty"` // code of the last refusal
}

type matrixFlags struct {
	profile, protocols, ciphers, diff string
	stacks                            []string
	prefer, returning, json, csv      bool
	seed                              uint64
}

func (a *app) matrixCmd() *cobra.Command {
	var f matrixFlags
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Browsers x servers x faults: what each user sees, played in memory",
		Long: `matrix plays one page load of each profile against each server personality with each class of fault, in
memory and in virtual time, and prints what the user sees. It answers "whom would this configuration break?"
in seconds; a run on the real fleet confirms what matters.`,
		Example: `  tlsurge matrix --profile 'firefox-3*'
  tlsurge matrix --stack openssl-0.9.8zc --protocols TLSv1 --returning
  tlsurge matrix --json > before.json; tlsurge matrix --ciphers 'AES128-SHA' --diff before.json`,
		Args: exactly(0, "flags only"),
		RunE: func(*cobra.Command, []string) error { return a.matrix(f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.profile, "profile", "*", "`pattern` of the profiles' names")
	fl.StringSliceVar(&f.stacks, "stack", nil, "server personalities (default: all)")
	fl.StringVar(&f.protocols, "protocols", "", "`list` of nginx's names (default: all TLS versions of the stack)")
	fl.StringVar(&f.ciphers, "ciphers", "", "cipher `string` in OpenSSL's language (default: the stack's)")
	fl.BoolVar(&f.prefer, "prefer-server-ciphers", false, "the server's order of suites counts")
	fl.BoolVar(&f.returning, "returning", false, "each browser made an undisturbed visit before, and may hold a session")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of everything random")
	fl.StringVar(&f.diff, "diff", "", "print only what differs from this `file`, which matrix --json wrote")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	fl.BoolVar(&f.csv, "csv", false, "print CSV")
	return cmd
}

func (a *app) matrix(f matrixFlags) error {
	rows, err := playMatrix(f)
	if err != nil {
		return err
	}
	if f.diff != "" {
		if rows, err = matrixDiff(f.diff, rows); err != nil {
			return err
		}
	}
	switch {
	case f.json:
		return writeJSON(a.out, rows)
	case f.csv:
		return matrixCSV(a.out, rows)
	}
	return matrixText(a.out, rows)
}

// playMatrix plays every cell.
func playMatrix(f matrixFlags) (rows []matrixRow, err error) {
	if len(f.stacks) == 0 {
		for _, n := range stack.Names() {
			if st, err := stack.Lookup(n); err == nil && st.Library {
				f.stacks = append(f.stacks, n)
			}
		}
	}
	var names []string
	for _, n := range profiles.Names() {
		ok, err := path.Match(f.profile, n)
		if err != nil {
			return nil, usagef("--profile %s: not a pattern: * and ? and [a-z] are allowed", f.profile)
		}
		if ok {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil, usagef("--profile %s: no profile of that name; see 'tlsurge profiles list'", f.profile)
	}
	cert, err := matrixCertificate()
	if err != nil {
		return nil, err
	}
	for _, n := range f.stacks {
		st, err := stack.Lookup(n)
		if err != nil {
			return nil, usagef("--stack: %v", err)
		}
		server, err := trial.NewServer(st, trial.ServerOptions{Host: matrixHost, Ciphers: f.ciphers, PreferServer: f.prefer,
			Protocols:    strings.FieldsFunc(f.protocols, func(r rune) bool { return r == ' ' || r == ',' }),
			Certificates: []*engine.Certificate{cert}})
		if err != nil {
			return nil, usagef("%v", err)
		}
		for _, name := range names {
			p, err := profiles.Lookup(name)
			if err != nil {
				return nil, err
			}
			for _, fault := range matrixFaults {
				r, err := trial.Play(trial.Setup{Profile: p, Server: server, Fault: fault, Returning: f.returning, Seed: f.seed})
				if err != nil {
					return nil, err
				}
				row := matrixRow{Profile: name, Stack: n, Fault: fault.String(), Verdict: r.Verdict, UserSees: r.UserSees, Attempts: len(r.Attempts)}
				for _, at := range r.Attempts {
					if at.LogCode != "" {
						row.Logs = at.LogCode
					}
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// matrixCertificate is an RSA-2048 leaf for the servers in memory; nobody verifies it.
func matrixCertificate() (*engine.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: matrixHost}, DNSNames: []string{matrixHost},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &engine.Certificate{Chain: [][]byte{der}, Key: key}, nil
}

// matrixDiff keeps the cells that are not as in the file.
func matrixDiff(file string, rows []matrixRow) ([]matrixRow, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--diff: %v", err)
	}
	var before []matrixRow
	if err := json.Unmarshal(b, &before); err != nil {
		return nil, usagef("--diff %s: not what matrix --json writes: %v", file, err)
	}
	known := map[[3]string]matrixRow{}
	for _, r := range before {
		known[[3]string{r.Profile, r.Stack, r.Fault}] = r
	}
	changed := []matrixRow{}
	for _, r := range rows {
		if known[[3]string{r.Profile, r.Stack, r.Fault}] != r {
			changed = append(changed, r)
		}
	}
	return changed, nil
}

func matrixCSV(out io.Writer, rows []matrixRow) error {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"stack", "profile", "fault", "verdict", "user_sees", "attempts", "server_logs"}) // Flush reports
	for _, r := range rows {
		_ = w.Write([]string{r.Stack, r.Profile, r.Fault, string(r.Verdict), r.UserSees, fmt.Sprint(r.Attempts), r.Logs})
	}
	w.Flush()
	return w.Error()
}

// matrixText is a section for each server and a line for each browser; browsers that see the same stand
// together.
func matrixText(out io.Writer, rows []matrixRow) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(out, "nothing differs")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	section, line := "", ""
	for _, r := range rows {
		if r.Stack != section {
			section = r.Stack
			fmt.Fprintf(w, "%s\n", section)
		}
		if id := r.Stack + " " + r.Profile; id != line {
			line = id
			fmt.Fprintf(w, "  %s\n", r.Profile)
		}
		words := strings.ReplaceAll(string(r.Verdict), "_", " ")
		if r.UserSees != "" {
			words += ": " + r.UserSees
		}
		if r.Logs != "" {
			words += "\tlogs " + r.Logs
		}
		fmt.Fprintf(w, "    %s\t%s\n", r.Fault, words)
	}
	return w.Flush()
}
