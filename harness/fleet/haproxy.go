package fleet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// haproxyOrder is what the keeper of a real HAProxy is told.
type haproxyOrder struct {
	Binary    string
	Dir       string // configuration, socket, statistics
	Addr      netip.AddrPort
	Upstreams []string
}

// runHAProxy is the body of a balancer that is a real HAProxy. What it counted is kept beside its
// configuration, as it says it itself (management.txt, "show stat").
func runHAProxy(c *child) error {
	order, err := decodeOrder[haproxyOrder](c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(order.Dir, 0o700); err != nil {
		return err
	}
	socket := filepath.Join(order.Dir, "stats.sock")
	conf := filepath.Join(order.Dir, "haproxy.cfg")
	if err := os.WriteFile(conf, haproxyConfig(order, socket), 0o600); err != nil {
		return err
	}
	k := &keeper{child: c, addr: order.Addr}
	if err := k.run(order.Binary, "-db", "-f", conf); err != nil {
		return err
	}
	fmt.Println("ready", order.Addr)
	return k.watch(func(last bool) {
		if last {
			if err := saveStat(socket, filepath.Join(order.Dir, "stat.csv")); err != nil {
				fmt.Fprintln(os.Stderr, "balancer: statistics:", err)
			}
		}
	})
}

// haproxyConfig is round-robin over the application's addresses with health checks, as the thread's
// HAProxy stood behind its edges. Connections to the application are kept.
func haproxyConfig(o haproxyOrder, socket string) []byte {
	text := fmt.Appendf(nil, `global
    nbthread %d
    stats socket %s mode 600 level user
defaults
    mode http
    timeout connect 5s
    timeout client 65s
    timeout server 65s
frontend edges
    bind %s
    default_backend application
backend application
    balance roundrobin
    option httpchk GET /
`, min(2, runtime.NumCPU()), socket, o.Addr)
	for i, u := range o.Upstreams {
		text = fmt.Appendf(text, "    server app%d %s check inter 2s\n", i+1, u)
	}
	return text
}

// saveStat asks HAProxy for its statistics and keeps the answer.
func saveStat(socket, path string) error {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return err
	}
	text, err := io.ReadAll(conn)
	return errors.Join(err, os.WriteFile(path, text, 0o600))
}
