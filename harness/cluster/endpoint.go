package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Environment variables by which a child learns where its coordinator is. They are environment, not
// arguments, because arguments are readable by every user of the machine and the token is a secret.
const (
	envURL   = "TLSURGE_HUB"
	envToken = "TLSURGE_HUB_TOKEN"
	envRun   = "TLSURGE_HUB_RUN"
	envCA    = "TLSURGE_HUB_CA"
)

// Endpoint is where a coordinator can be reached.
type Endpoint struct {
	// URL is unix:///path/to/socket, nats://host:port or tls://host:port.
	URL string
	// Token admits to the server. Children on the Unix socket have one too: it is one rule for all.
	Token string
	// Run names the run; runs that share a NATS cluster do not hear each other.
	Run string
	// CA is the PEM of the authority that signed the server's certificate (tls:// only); empty: the
	// system's authorities.
	CA string
}

// Env is the endpoint as environment variables for a child.
func (e Endpoint) Env() []string {
	env := []string{envURL + "=" + e.URL, envToken + "=" + e.Token, envRun + "=" + e.Run}
	if e.CA != "" {
		env = append(env, envCA+"="+e.CA)
	}
	return env
}

// ErrNoHub says that the environment names no coordinator: the process was not started by one.
var ErrNoHub = errors.New("no coordinator: " + envURL + " is not set")

// EndpointFromEnv reads what Env wrote and removes it from the environment, so that the token does not
// reach grandchildren (an nginx, a HAProxy).
func EndpointFromEnv() (Endpoint, error) {
	e := Endpoint{URL: os.Getenv(envURL), Token: os.Getenv(envToken), Run: os.Getenv(envRun), CA: os.Getenv(envCA)}
	for _, name := range []string{envURL, envToken, envRun, envCA} {
		os.Unsetenv(name)
	}
	if e.URL == "" {
		return e, ErrNoHub
	}
	return e, e.Validate()
}

// Validate says what is wrong with an endpoint that a person typed.
func (e Endpoint) Validate() error {
	u, err := url.Parse(e.URL)
	if err != nil {
		return fmt.Errorf("coordinator address %q: %w", e.URL, err)
	}
	switch u.Scheme {
	case "unix":
		if u.Path == "" || u.Host != "" {
			return fmt.Errorf("coordinator address %q: want unix:///absolute/path", e.URL)
		}
	case "nats", "tls":
		if u.Host == "" {
			return fmt.Errorf("coordinator address %q: want %s://host:port", e.URL, u.Scheme)
		}
	default:
		return fmt.Errorf("coordinator address %q: scheme %q is not one of unix, nats, tls", e.URL, u.Scheme)
	}
	if err := checkName("run", e.Run); err != nil {
		return err
	}
	if e.CA != "" && u.Scheme != "tls" {
		return fmt.Errorf("coordinator address %q: a CA needs tls://", e.URL)
	}
	return nil
}

// socketPath is the path of a unix:// endpoint, or "".
func (e Endpoint) socketPath() string {
	path, ok := strings.CutPrefix(e.URL, "unix://")
	if !ok {
		return ""
	}
	return path
}

// tlsConfig is nil unless the endpoint is tls://.
func (e Endpoint) tlsConfig() (*tls.Config, error) {
	if !strings.HasPrefix(e.URL, "tls://") {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CA != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(e.CA)) {
			return nil, fmt.Errorf("coordinator address %q: the CA holds no PEM certificate", e.URL)
		}
	}
	return cfg, nil
}

// checkName refuses names that cannot be one token of a NATS subject.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s name is empty", what)
	}
	for _, r := range name {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			continue
		}
		return fmt.Errorf("%s name %q: %q is not allowed, want letters, digits, - and _", what, name, r)
	}
	return nil
}
