package fleet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// runHAProxyEdge is the body of an edge that is a real HAProxy. It takes of the configuration what it has in common
// with nginx: protocols, ciphers, curves, Diffie-Hellman parameters, sessions, ticket keys, early data, certificates,
// time-outs, the size of the table. Locations are nginx's own: every request goes to what stands behind.
func runHAProxyEdge(c *child) error {
	var log *os.File
	err := runRealEdge(c, func(e *realEdge) (err error) {
		o := &e.order.Options
		conf := filepath.Join(o.Dir, "haproxy.cfg")
		text, err := haproxyEdgeConfig(e.order, ReadLimits().Files)
		if err != nil {
			return &configError{err}
		}
		if err := os.WriteFile(conf, text, 0o600); err != nil {
			return err
		}
		if log, err = os.OpenFile(o.ErrorLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		e.out, e.log.read = log, haproxyLine
		return e.run(e.order.Binary, "-db", "-f", conf)
	})
	if log != nil {
		err = errors.Join(err, log.Close())
	}
	return err
}

// haproxyLogged is the format of lines about connections that failed before they had a session: client, seconds,
// HAProxy's own reason, the first entry of OpenSSL's error queue. A request's line begins otherwise.
const haproxyLogged = `E %ci:%cp %Ts %[ssl_fc_err] %{+Q}[fc_err_str] %{+Q}[ssl_fc_err_str]`

// haproxyEdgeConfig says the configuration in HAProxy's words.
func haproxyEdgeConfig(order realOrder, files int64) ([]byte, error) {
	cfg, err := proxy.Load(order.Options)
	if err != nil {
		return nil, err
	}
	var vs *proxy.VirtualServer
	for _, l := range cfg.Listeners {
		if l.TLS {
			vs = l.Servers[0]
			break
		}
	}
	if vs == nil || vs.TLS == nil {
		return nil, fmt.Errorf("%s: no server with TLS, which an edge is", order.Options.Source)
	}
	from, err := haproxyFiles(order.Options, vs.TLS)
	if err != nil {
		return nil, err
	}
	bind, err := haproxyBind(order.Options, vs.TLS, from)
	if err != nil {
		return nil, err
	}
	dh := "tune.ssl.default-dh-param 2048"
	if from.dh != "" {
		dh = "ssl-dh-param-file " + from.dh
	}
	// A session takes about 200 bytes of HAProxy's cache, which counts blocks of them.
	cache := int64(0)
	if vs.TLS.SessionCache.Stores() {
		cache = max(1, vs.TLS.SessionCache.Bytes/256)
	}
	most := min(int64(cfg.Workers*cfg.WorkerConnections), (files-100)/2)
	b := fmt.Appendf(nil, `global
    nbthread %d
    maxconn %d
    log stdout format raw local0 info
    tune.ssl.cachesize %d
    tune.ssl.lifetime %d
    %s
    ssl-default-bind-options no-tls-tickets
defaults
    mode http
    log global
    option httplog
    option dontlog-normal
    error-log-format %q
    timeout connect 5s
    timeout client %s
    timeout http-request %s
    timeout http-keep-alive %s
    timeout server 65s
frontend edge
    maxconn %d
    bind %s %s
    http-request set-header X-Real-IP %%[src]
    http-request set-header X-Forwarded-Proto https
    option forwardfor
    default_backend behind
backend behind
    server behind %s
`, min(2, runtime.NumCPU()), most, cache, int(vs.TLS.Timeout.Seconds()), dh, haproxyLogged, haproxyTime(max(vs.KeepaliveTimeout, vs.HeaderTimeout)), haproxyTime(vs.HeaderTimeout),
		haproxyTime(vs.KeepaliveTimeout), most, order.Addr, bind, order.Options.Upstream)
	if vs.TLS.Tickets {
		b = []byte(strings.Replace(string(b), "    ssl-default-bind-options no-tls-tickets\n", "", 1))
	}
	return b, nil
}

// haproxyBind is what stands behind the address: certificate with its key in one file, versions, suites.
func haproxyBind(o proxy.Options, t *proxy.TLSSettings, from haproxyNamed) (string, error) {
	pem := filepath.Join(o.Dir, "haproxy.pem")
	var both []byte
	for _, file := range []string{o.Certificate, o.Key} {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(pem, both, 0o600); err != nil {
		return "", err
	}
	names := map[wire.Version]string{wire.TLS10: "TLSv1.0", wire.TLS11: "TLSv1.1", wire.TLS12: "TLSv1.2", wire.TLS13: "TLSv1.3"}
	var spoken []wire.Version
	for _, v := range t.Versions {
		if names[v] != "" {
			spoken = append(spoken, v)
		}
	}
	slices.Sort(spoken)
	if len(spoken) == 0 || int(spoken[len(spoken)-1]-spoken[0]) != len(spoken)-1 {
		return "", fmt.Errorf("ssl_protocols: HAProxy speaks all versions from a lowest to a highest one, TLSv1 to TLSv1.3; here they are %v", t.Versions)
	}
	words := []string{"ssl", "crt", pem, "backlog", "511", "ciphers", lowestSecurity(t.CipherString),
		"ssl-min-ver", names[spoken[0]], "ssl-max-ver", names[spoken[len(spoken)-1]]}
	if !t.PreferServer {
		words = append(words, "prefer-client-ciphers")
	}
	if from.curves != "" {
		words = append(words, "curves", from.curves)
	}
	if t.EarlyData {
		words = append(words, "allow-0rtt")
	}
	if from.tickets != "" {
		words = append(words, "tls-ticket-keys", from.tickets)
	}
	return strings.Join(words, " "), nil
}

// haproxyNamed is what the configuration names and HAProxy reads from files or in its own spelling.
type haproxyNamed struct{ dh, tickets, curves string }

// haproxyFiles finds ssl_dhparam, ssl_ecdh_curve and ssl_session_ticket_key and writes what HAProxy wants in another form.
func haproxyFiles(o proxy.Options, t *proxy.TLSSettings) (n haproxyNamed, err error) {
	tree, err := proxy.Effective(o)
	if err != nil {
		return n, err
	}
	if err := placeBuiltins(tree, o.Dir); err != nil {
		return n, err
	}
	var keys []string
	eachDirective(tree, func(d *nginxconf.Directive) {
		switch {
		case d.Name == "ssl_dhparam" && n.dh == "":
			n.dh = d.Args[0]
		case d.Name == "ssl_ecdh_curve" && n.curves == "" && d.Args[0] != "auto":
			n.curves = d.Args[0]
		case d.Name == "ssl_session_ticket_key" && len(keys) < len(t.TicketKeys):
			keys = append(keys, d.Args[0])
		}
	})
	if len(keys) == 0 || !t.Tickets {
		return n, nil
	}
	text, err := haproxyTickets(keys)
	if err != nil {
		return n, err
	}
	n.tickets = filepath.Join(o.Dir, "tickets.b64")
	return n, os.WriteFile(n.tickets, text, 0o600)
}

// haproxyTickets writes ticket keys as HAProxy reads them: three lines, of which the middle one seals and all open.
// nginx seals with the first of its keys.
func haproxyTickets(files []string) ([]byte, error) {
	if len(files) > 3 {
		return nil, fmt.Errorf("ssl_session_ticket_key: HAProxy keeps 3 keys, here are %d", len(files))
	}
	var lines [3]string
	for i, place := range []int{1, 2, 0} {
		text, err := os.ReadFile(files[min(i, len(files)-1)])
		if err != nil {
			return nil, err
		}
		lines[place] = base64.StdEncoding.EncodeToString(text)
	}
	return []byte(strings.Join(lines[:], "\n") + "\n"), nil
}

func haproxyTime(d time.Duration) string {
	return strconv.FormatInt(max(1, d.Milliseconds()), 10) + "ms"
}

// haproxyLine reads a line of that format.
func haproxyLine(line string) (l logLine, ok bool) {
	f := strings.SplitN(line, " ", 5)
	if len(f) < 5 || f[0] != "E" {
		return l, false
	}
	client, err := netip.ParseAddrPort(f[1])
	if err != nil {
		return l, false
	}
	seconds, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return l, false
	}
	l.client, l.at, l.LogLine = client, time.Unix(seconds, 0), results.LogLine{Level: "info"}
	why, queue, _ := strings.Cut(strings.Trim(f[4], `"`), `" "`)
	l.Reason = strings.TrimRight(why, `" `) // of an empty second field only blanks are left
	if packed, err := strconv.ParseUint(f[3], 10, 32); err == nil && packed != 0 {
		l.Code = fmt.Sprintf("%08X", packed)
		if parts := strings.SplitN(queue, ":", 5); len(parts) >= 4 { // error:CODE:library:function:reason
			l.Reason = parts[len(parts)-1]
		}
	}
	return l, true
}
