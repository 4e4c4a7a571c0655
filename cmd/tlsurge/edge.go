package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/stack"
)

func (a *app) edgeCmd() *cobra.Command {
	var o proxy.Options
	var listen, protocols string
	var set []string
	var check bool
	cmd := &cobra.Command{
		Use:   "edge --config FILE | --listen ADDR --stack STACK --cert FILE --key FILE",
		Short: "Run one bundled TLS-terminating proxy until it is told to stop",
		Long: `edge runs one bundled proxy and prints "ready IP:PORT" when it listens. SIGHUP reloads the configuration,
SIGTERM and SIGQUIT end it after the requests in progress, SIGINT at once. --check reads the configuration, says what
is wrong with it, and serves nothing.

--listen, --cert and --key replace what a --config says of them, in every server of it.
Without --config it serves the built-in application, with a shared session cache and tickets on.
Stacks: ` + strings.Join(stack.Names(), ", ") + ".",
		Example: `  tlsurge edge --config site.conf
  tlsurge edge --listen 127.0.0.1:8443 --stack openssl-0.9.8zc --cert leaf.pem --key leaf.key
  tlsurge edge --listen 127.0.0.1:0 --stack openssl-1.0.1j --cert leaf.pem --key leaf.key \
      --protocols "TLSv1 TLSv1.1" --ciphers 'AES128-SHA:!aNULL' --error-log error.log`,
		Args: exactly(0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Source == "" && listen == "" {
				return usagef("tlsurge edge needs --config FILE or --listen ADDR")
			}
			if listen != "" {
				o.Listen = []string{listen}
				if o.Source == "" && (o.Certificate == "" || o.Key == "") {
					return usagef("--listen needs --cert FILE and --key FILE, or a --config that has them")
				}
			}
			o.Protocols = strings.FieldsFunc(protocols, func(r rune) bool { return r == ' ' || r == ',' })
			if err := setDirectives(&o, set); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT)
			defer stop()
			cfg, err := proxy.Load(o)
			if err != nil {
				return usagef("%v", err)
			}
			// A bench plants a regression, to see whether it is caught.
			if cfg.Plant, err = proxy.ParsePlant(os.Getenv(proxy.PlantVariable)); err != nil {
				return usagef("%s: %v", proxy.PlantVariable, err)
			}
			for _, w := range cfg.Warnings {
				fmt.Fprintf(a.err, "tlsurge: warning: %v\n", w)
			}
			for _, n := range cfg.Notes {
				fmt.Fprintf(a.err, "tlsurge: note: %v\n", n)
			}
			if check {
				fmt.Fprintln(a.out, "configuration is ok")
				return nil
			}
			err = proxy.RunStandalone(ctx, cfg, a.out, func() (*proxy.Config, error) { return proxy.Load(o) })
			if cannot := (*proxy.StartError)(nil); errors.As(err, &cannot) {
				return usagef("%v", cannot)
			}
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.Source, "config", "", "configuration `file`: nginx's syntax or TOML; or builtin:fl-ssl.conf")
	fl.StringVar(&listen, "listen", "", "`address` to listen on, as 127.0.0.1:8443; port 0 is any free one")
	fl.BoolVar(&check, "check", false, "read the configuration, say what is wrong, and end")
	fl.StringVar(&o.Stack, "stack", "", "TLS personality (default: the configuration's own, else "+stack.Default+")")
	fl.StringVar(&o.Certificate, "cert", "", "PEM `file` of the certificate chain")
	fl.StringVar(&o.Key, "key", "", "PEM `file` of the private key")
	fl.StringVar(&o.Metrics, "metrics", "", "`address` where /metrics answers in Prometheus's format (default: nowhere)")
	fl.StringVar(&o.Ciphers, "ciphers", "", "cipher `string` in OpenSSL's language")
	fl.StringVar(&protocols, "protocols", "", "`list` of nginx's names, separated by spaces or commas: TLSv1 TLSv1.1 TLSv1.2 TLSv1.3 SSLv3")
	fl.StringVar(&o.ErrorLog, "error-log", "", "`file` for the error log, at level info")
	fl.StringVar(&o.AccessLog, "access-log", "", "`file` for the access log")
	fl.StringVar(&o.Upstream, "upstream", "", "`address` that requests go to (default: the built-in application)")
	fl.StringArrayVar(&set, "set", nil, "lay a directive over the configuration: `name=arguments`")
	_ = cmd.RegisterFlagCompletionFunc("stack", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return stack.Names(), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func setDirectives(o *proxy.Options, set []string) error {
	for _, s := range set {
		name, args, ok := strings.Cut(s, "=")
		if !ok {
			return usagef("--set %s: want name=arguments, as keepalive_timeout=65", s)
		}
		if o.Set == nil {
			o.Set = map[string]string{}
		}
		o.Set[strings.TrimSpace(name)] = args
	}
	if o.ErrorLog != "" {
		o.ErrorLevel = "info"
	}
	if o.Stack != "" {
		if _, err := stack.Lookup(o.Stack); err != nil {
			return usagef("--stack: %v", err)
		}
	}
	return nil
}
