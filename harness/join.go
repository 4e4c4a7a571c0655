package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tlsurge/harness/cluster"
	"tlsurge/harness/fleet"
)

// joinTimeout bounds the wait for agents from elsewhere.
const joinTimeout = 10 * time.Minute

// startHub starts the run's messages: in this process, or over an existing cluster. Agents from elsewhere
// find what they need in join/ of the run directory: url, token, ca.pem.
func (d *drive) startHub(ctx context.Context) error {
	stats, evidence := fleet.Collect(d.collector)
	cfg := cluster.HubConfig{Dir: d.o.Dir, Stats: stats, Evidence: evidence, Notice: d.notice, Token: d.o.Token}
	r := d.sc.Run
	if r.NATS != "" || r.Listen != "" {
		cfg.Run = r.Group
	}
	dir := filepath.Join(d.o.Dir, "join")
	if r.NATS != "" {
		cfg.URL, cfg.CA = r.NATS, d.o.ClusterCA
		reach, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		ctx = reach
	}
	if r.Listen != "" {
		host, _, err := net.SplitHostPort(r.Listen)
		if err != nil {
			return err // the scenario was checked
		}
		pki, err := fleet.MakePKI(fleet.PKIConfig{Dir: dir, Names: []string{host}, Key: fleet.ECDSAP256, Now: d.o.Started})
		if err != nil {
			return err
		}
		cert, err := tls.LoadX509KeyPair(pki.CertFile, pki.KeyFile)
		if err != nil {
			return err
		}
		cfg.Listen, cfg.TLS = r.Listen, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	var err error
	if d.hub, err = cluster.StartHub(ctx, cfg); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) || r.NATS != "" {
			return &ConfigError{Text: fmt.Sprintf("run: %v", err), Err: err}
		}
		return err
	}
	remote, open := d.hub.Remote()
	if !open {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "url"), []byte(remote.URL+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "token"), []byte(remote.Token+"\n"), 0o600))
}

// awaitRemote waits until the scenario's agents from elsewhere are there.
func (d *drive) awaitRemote(ctx context.Context) error {
	n := d.sc.Run.RemoteAgents
	if n == 0 {
		return nil
	}
	remote, _ := d.hub.Remote()
	dir := filepath.Join(d.o.Dir, "join")
	command := fmt.Sprintf("tlsurge agent --join %s --token-file %s", remote.URL, filepath.Join(dir, "token"))
	if d.sc.Run.Listen != "" {
		command += " --ca " + filepath.Join(dir, "ca.pem")
	}
	if d.sc.Run.Group != "tlsurge" {
		command += " --group " + d.sc.Run.Group
	}
	d.progress.Step(fmt.Sprintf("waiting for %d agents from elsewhere: %s", n, command))
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if err := d.crew.Join(ctx, n); err != nil {
		return &ConfigError{Text: fmt.Sprintf("run.remote_agents = %d: %v", n, err), Err: err}
	}
	return nil
}
