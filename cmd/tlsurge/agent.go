package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"tlsurge/harness/cluster"
	"tlsurge/harness/fleet"
)

// Environment variables that carry what must not stand on a command line, which every user of a machine
// can read, nor in a scenario, which is kept with the results.
const (
	envToken = "TLSURGE_TOKEN"   // admits agents
	envCA    = "TLSURGE_CA_FILE" // PEM file of the authority behind run.nats
)

type joinSecrets struct{ token, ca string }

// joinSecretsFromEnv reads and removes them: children have no use for them.
func joinSecretsFromEnv() (s joinSecrets, err error) {
	s.token = os.Getenv(envToken)
	os.Unsetenv(envToken)
	if file := os.Getenv(envCA); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return s, usagef("%s: %v", envCA, err)
		}
		s.ca = string(text)
	}
	return s, nil
}

const agentExample = `  tlsurge agent --join tls://192.0.2.1:4222 --ca ca.pem --token-file token
  TLSURGE_TOKEN=… tlsurge agent --join nats://nats.example.test:4222 --group monday
  tlsurge agent --join tls://192.0.2.1:4222 --manifest --replicas 4 | kubectl apply -f -`

type agentFlags struct {
	join, ca, tokenFile, group, name string
	manifest                         bool
	replicas                         int
	image                            string
}

func (a *app) agentCmd() *cobra.Command {
	var f agentFlags
	cmd := &cobra.Command{
		Use:   "agent --join URL",
		Short: "Be a load agent of a run on another machine",
		Long: `agent joins a run that listens for agents (run.listen) or goes over a NATS cluster (run.nats), plays its
share of the browsers, and ends with the run. The run's directory holds what it takes in join/: url, token
and ca.pem. The token comes from --token-file or the environment variable TLSURGE_TOKEN.`,
		Example: agentExample,
		Args:    exactly(0, "no arguments"),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.join, "join", "", "`URL` of the run: tls://host:port or nats://host:port")
	fl.StringVar(&f.ca, "ca", "", "PEM `file` of the authority that signed the run's certificate")
	fl.StringVar(&f.tokenFile, "token-file", "", "`file` with the token")
	fl.StringVar(&f.group, "group", "tlsurge", "the run's run.group")
	fl.StringVar(&f.name, "name", "", "this agent's name (default: the host's, with the process number)")
	fl.BoolVar(&f.manifest, "manifest", false, "print Kubernetes manifests for such agents instead")
	fl.IntVar(&f.replicas, "replicas", 2, "manifest: how many agents")
	fl.StringVar(&f.image, "image", "tlsurge:latest", "manifest: the container image")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := f.endpoint()
		if err != nil {
			return err
		}
		if f.manifest {
			return f.writeManifest(a.out, e)
		}
		return f.serve(cmd.Context(), e)
	}
	return cmd
}

// endpoint is where the flags and the environment say that the run is.
func (f *agentFlags) endpoint() (e cluster.Endpoint, err error) {
	secrets, err := joinSecretsFromEnv()
	if err != nil {
		return e, err
	}
	if f.join == "" {
		return e, usagef("--join is missing: the run's directory holds its URL in join/url")
	}
	e = cluster.Endpoint{URL: f.join, Token: secrets.token, Run: f.group, CA: secrets.ca}
	if f.tokenFile != "" {
		text, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return e, usagef("--token-file: %v", err)
		}
		e.Token = strings.TrimSpace(string(text))
	}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return e, usagef("--ca: %v", err)
		}
		e.CA = string(text)
	}
	if err := e.Validate(); err != nil {
		return e, usagef("--join: %v", err)
	}
	return e, nil
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

func (f *agentFlags) serve(ctx context.Context, e cluster.Endpoint) error {
	if f.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		f.name = fmt.Sprintf("%s-%d", notInNames.ReplaceAllString(host, "-"), os.Getpid())
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	return fleet.RunAgent(ctx, e, f.name)
}

// writeManifest prints a Secret with what admits to the run, and a Job whose pods end with it. A pod may
// open as many files as its node allows; each holds up to 18,000 connections.
func (f *agentFlags) writeManifest(w io.Writer, e cluster.Endpoint) error {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: v1
kind: Secret
metadata:
  name: tlsurge-agent
stringData:
  token: %q
  ca.pem: %q
---
apiVersion: batch/v1
kind: Job
metadata:
  name: tlsurge-agent
  labels: {app: tlsurge-agent}
spec:
  completions: %d
  parallelism: %d
  backoffLimit: %d
  template:
    metadata:
      labels: {app: tlsurge-agent}
    spec:
      restartPolicy: OnFailure
      containers:
        - name: agent
          image: %q
          args: ["agent", "--join", %q, "--group", %q, "--token-file", "/etc/tlsurge/token"`,
		e.Token, e.CA, f.replicas, f.replicas, f.replicas, f.image, e.URL, e.Run)
	if e.CA != "" {
		b.WriteString(`, "--ca", "/etc/tlsurge/ca.pem"`)
	}
	b.WriteString(`]
          resources:
            requests: {cpu: "1", memory: 256Mi}
            limits: {memory: 1Gi}
          volumeMounts:
            - {name: join, mountPath: /etc/tlsurge, readOnly: true}
      volumes:
        - name: join
          secret: {secretName: tlsurge-agent, defaultMode: 256}
`)
	_, err := io.WriteString(w, b.String())
	return err
}
