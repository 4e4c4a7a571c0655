package repro

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"tlsurge/harness/symptom"
)

// table is the signatures, for people.
func table(list []symptom.Signature) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "where\tcount\tfirst\tlast\tclients\twhat")
	const most = 12
	for i, s := range list {
		if i == most {
			fmt.Fprintf(w, "\t\t\t\t\tand %d more\n", len(list)-most)
			break
		}
		day := func(t time.Time) string {
			if t.IsZero() {
				return "-"
			}
			return t.Format("2006-01-02 15:04:05")
		}
		clients := "-"
		if s.Clients > 0 {
			clients = fmt.Sprint(s.Clients)
		}
		where := strings.ReplaceAll(string(s.Origin), "_", " ")
		if s.Software != "" {
			where += ", " + s.Software
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", where, max(s.Count, 1), day(s.First), day(s.Last), clients, signatureWords(s))
	}
	w.Flush() // into a buffer: it cannot fail
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

// signatureWords is a signature in a few words.
func signatureWords(s symptom.Signature) string {
	var parts []string
	if s.UserSees != "" {
		parts = append(parts, s.UserSees)
	}
	if s.Level != "" {
		parts = append(parts, "["+s.Level+"]")
	}
	parts = append(parts, s.Code, s.Reason)
	if s.Alert >= 0 && s.UserSees == "" {
		parts = append(parts, fmt.Sprintf("alert %d", s.Alert))
	}
	words := strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
	if words == "" {
		words = strings.Join(strings.Fields(s.Text), " ")
	}
	if words == "" {
		words = string(s.Class)
	}
	if r := []rune(words); len(r) > 90 {
		words = string(r[:90]) + "…"
	}
	return words
}
