package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/profiles"
)

// maxImport bounds what is read into memory: a capture of a browser session is a few MiB.
const maxImport = 512 << 20

func (a *app) profilesImportCmd() *cobra.Command {
	var name, out, listen string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "import FILE|- | --listen ADDR",
		Short: "Make a profile out of a capture, a hex dump or a raw record, and name the nearest known one",
		Long: `import reads ClientHellos from a pcap or pcapng capture, a hex dump, raw records, or a live connection to a
loopback port, and prints a profile (TOML) of the client that sent most of them. On standard error it says
which known profile is nearest and what differs.`,
		Example: `  tlsurge profiles import capture.pcapng --name my-browser --out my-browser.toml
  echo 16030100... | tlsurge profiles import -
  tlsurge profiles import --listen 127.0.0.1:8443      then point the browser at it`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (listen != "") {
				return usagef("tlsurge profiles import takes one file, - for standard input, or --listen ADDR\nSee 'tlsurge profiles import --help'.")
			}
			var drafts []*profiles.Draft
			var err error
			if listen != "" {
				drafts, err = a.importLive(cmd.Context(), listen, wait)
			} else {
				drafts, err = a.importFile(args[0])
			}
			if err != nil {
				return err
			}
			return a.printDraft(drafts, name, out)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&name, "name", "", "title of the profile (default: what it resembles)")
	fl.StringVar(&out, "out", "", "write the profile to this `file`, which must not exist")
	fl.StringVar(&listen, "listen", "", "take one hello from a live connection to this loopback `address`")
	fl.DurationVar(&wait, "wait", 2*time.Minute, "with --listen: how long to wait")
	return cmd
}

func (a *app) importFile(file string) ([]*profiles.Draft, error) {
	var r io.Reader = a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usagef("%v", err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return nil, usagef("%s: %v", file, err)
	}
	if len(data) > maxImport {
		return nil, usagef("%s: more than %d MiB; cut the capture down to the handshakes", file, maxImport>>20)
	}
	drafts, err := profiles.Import(data, filepath.Base(file))
	if err != nil {
		return nil, usagef("%s: %v", file, err)
	}
	return drafts, nil
}

func (a *app) importLive(ctx context.Context, addr string, wait time.Duration) ([]*profiles.Draft, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, usagef("--listen: %v", err)
	}
	defer ln.Close()
	if !ln.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return nil, usagef("--listen %s: want a loopback address", addr)
	}
	fmt.Fprintf(a.err, "ready %v\n", ln.Addr())
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("waited %v", wait))
	defer cancel()
	found, err := profiles.Listen(ctx, ln, 1, wait)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return profiles.Drafts(found, "live connection to "+ln.Addr().String())
}

func (a *app) printDraft(drafts []*profiles.Draft, name, out string) error {
	d := drafts[0]
	if name != "" {
		d.File.Title = name
	}
	if err := a.writeTo(out, func(w io.Writer) error { _, err := w.Write(d.TOML()); return err }); err != nil {
		return err
	}
	if d.Same {
		fmt.Fprintf(a.err, "the same as %s\n", strings.Join(d.SameAs, ", "))
	} else if d.Nearest != "" {
		fmt.Fprintf(a.err, "nearest: %s; it differs:\n", d.Nearest)
		for _, line := range d.Differences {
			fmt.Fprintf(a.err, "  %s\n", line)
		}
	}
	if n := len(drafts) - 1; n > 0 {
		fmt.Fprintf(a.err, "%d more clients in this source were left out\n", n)
	}
	return nil
}
