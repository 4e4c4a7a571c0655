package repro

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestChangesAreChecked: what no recipe can carry out is refused before the search, with what is allowed; what one
// may is not.
func TestChangesAreChecked(t *testing.T) {
	l, err := newLab(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	check := func(config string, list ...string) error {
		var changes []Change
		for _, s := range list {
			c, err := ParseChange(s)
			if err != nil {
				return err
			}
			changes = append(changes, c)
		}
		return l.checkChanges(config, changes)
	}
	for in, want := range map[string]string{
		"load.conections=5": `"connections"`, "load.connections=abc": "whole number", "net.core.somaxcon=1": `"somaxconn"`, "tcp_tw_reus=1": `"tcp_tw_reuse"`,
		"ssl_protocols=TLSv9": "TLSv1.2", "ssl_ciphers=NOSUCH": "no cipher match", "worker_connections=abc": "a number", "keepalive_timeout=5parsecs": "units",
		"faults.x.probability=0": "no recipe has", "fault.rest-at-client-hello=off": `"reset-at-client-hello"`, "faults.reset-at-client-hello.probability=2": "probability",
		"ssl_sesion_tickets=off": `"ssl_session_tickets"`, "fault.[=off": "pattern", "kernel.../../etc/passwd=1": "no ", "nonsense.key=1": "unknown key",
	} {
		if err := check("", in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
	for _, in := range []string{"load.connections=5", "tcp_tw_reuse=1", "ssl_protocols=TLSv1.3", "ssl_ciphers=HIGH:!aNULL", "worker_connections=1024", "keepalive_timeout=5",
		"faults.reset-at-client-hello.probability=0.5", "fault.reset*=off", "fault.reset=off", "faults=off", "fault.cut-first-handshake=off", "stack=go", "key=ecdsa-p256",
		"fleet.edges=2", "fault.reset-at-client-hello-2=off"} {
		if err := check("", in); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	if err := check("", "stack=openssl-0.9.8zc", "ssl_protocols=TLSv1.2"); err == nil {
		t.Error("a stack that does not speak what is asked of it was taken")
	}
	if err := check("builtin:fl-ssl.conf", "ssl_protocols=TLSv1.2"); err != nil {
		t.Error(err)
	}

	runs := 0
	cfg := config(t, counting(&runs), time.Minute, fallback)
	cfg.Fix = []Change{{"ssl_protocols", "TLSv9"}}
	var unfit *ChangeError
	if r, err := Do(t.Context(), cfg); !errors.As(err, &unfit) || r != nil || runs > 0 {
		t.Errorf("%v after %d runs, result %v", err, runs, r)
	}
}
