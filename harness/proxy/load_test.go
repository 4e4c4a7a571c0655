package proxy

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/profiles/wire"
)

func TestLoadErrors(t *testing.T) {
	p, other := newPKI(t, "rsa"), newPKI(t, "ecdsa")
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	writeFile(t, empty, nil)
	ssl := func(more string) string {
		return "events {}\nhttp {\n server {\n  listen 127.0.0.1:0 ssl;\n  ssl_certificate " + p.cert + ";\n  ssl_certificate_key " + p.key + ";\n  " + more + "\n }\n}\n"
	}
	for _, tc := range []struct{ why, conf, want string }{
		{"certificate that is not there", strings.Replace(ssl(""), p.cert, dir+"/none.pem", 1), ":5: cannot load certificate: open "},
		{"file without a certificate", strings.Replace(ssl(""), p.cert, empty, 1), "no PEM block CERTIFICATE"},
		{"key of another certificate", strings.Replace(ssl(""), p.key, other.key, 1), "does not belong to the certificate"},
		{"key without certificate", "events {}\nhttp { server { listen 1 ssl; ssl_certificate_key " + p.key + "; } }", "they come in pairs"},
		{"TLS without certificate", "events {}\nhttp { server { listen 127.0.0.1:0 ssl; } }", "no ssl_certificate is defined"},
		{"unknown protocol", ssl("ssl_protocols TLSv1.5;"), `:7: unknown protocol "TLSv1.5"`},
		{"protocols that the stack does not speak", ssl("ssl_protocols SSLv2;"), "none of the protocols SSLv2 is spoken"},
		{"no cipher", ssl("ssl_ciphers nothing;"), ":7: ssl_ciphers: no cipher match"},
		{"unknown curve", ssl("ssl_ecdh_curve brainpool;"), `:7: ssl_ecdh_curve "brainpool"`},
		{"cache without a size", ssl("ssl_session_cache shared:SSL;"), `:7: ssl_session_cache "shared:SSL"`},
		{"a time that is none", ssl("ssl_session_timeout 5x;"), `:7: "5x" is not a time`},
		{"a size that is none", ssl("client_max_body_size lots;"), `:7: client_max_body_size: "lots" is not a size`},
		{"unknown variable", ssl("return 200 $nope;"), `:7: unknown variable "$nope"`},
		{"bad regular expression", ssl("location ~ ( { }"), `:7: regular expression "("`},
		{"a class that is open", ssl(`location ~ "a[b" { }`), `:7: regular expression "a[b"`},
		{"unknown rewrite flag", ssl("rewrite a b sometimes;"), `:7: rewrite: flag "sometimes"`},
		{"unknown log format", ssl("access_log x.log nope;"), `:7: access_log: unknown log format "nope"`},
		{"unknown log level", ssl("error_log x.log loud;"), `:7: error_log level "loud"`},
		{"upstream without server", "events {}\nhttp { upstream a { } server { listen 1; } }", `upstream "a" has no server`},
		{"no server", "events {}\nhttp { }", "no server block"},
		{"no http", "events {}\n", "0 http blocks"},
		{"two locations alike", ssl("location /a { } location /a { }"), `duplicate location "/a"`},
		{"odd condition", ssl("if (a b c d) { }"), `:7: if: "(a b c d)" is not a condition`},
		{"proxy_pass without a scheme", ssl("location / { proxy_pass app; }"), `:7: proxy_pass: "app": the URL begins with http:// or https://`},
		{"listen parameter", "events {}\nhttp { server { listen 1 fast; } }", `:2: listen: unknown parameter "fast"`},
		{"address", "events {}\nhttp { server { listen nowhere:1; } }", `:2: address "nowhere:1"`},
		{"DH parameters that are none", ssl("ssl_dhparam " + empty + ";"), "no PEM block DH PARAMETERS"},
		{"DH parameters that are not built in", ssl("ssl_dhparam builtin:dh-666.pem;"), "no such file is built in; there are builtin:dh-2048.pem, builtin:dh-512.pem, builtin:dh-768.pem"},
		{"ticket key of the wrong length", ssl("ssl_session_ticket_key " + empty + ";"), "0 bytes; a key has 48"},
		{"a limit without its zone", ssl("limit_req zone=none;"), `:7: limit_req: no limit_req_zone is called "none"`},
		{"a rate that is none", "events {}\nhttp { limit_req_zone $uri zone=a:1m rate=5/s; }", `:2: limit_req_zone: invalid rate "5/s"`},
		{"a zone that holds nothing", "events {}\nhttp { limit_conn_zone $uri zone=a:1k; }", `:2: limit_conn_zone: zone "zone=a:1k" is too small`},
		{"a zone of two keys", "events {}\nhttp { limit_conn_zone $uri zone=a:1m; limit_req_zone $host zone=a:1m rate=1r/s; }", `zone "a" is already bound to a key`},
		{"a limit of nothing", "events {}\nhttp { limit_conn_zone $uri zone=a:1m; limit_conn a 0; }", `:2: limit_conn: "0": a number of 1 to 65535`},
		{"a limit's status", ssl("limit_req_status 200;"), `:7: limit_req_status: "200": a status of 400 to 599`},
	} {
		path := filepath.Join(dir, "t.conf")
		writeFile(t, path, []byte(tc.conf))
		_, err := LoadConfig(path)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant one line with %s", tc.why, err, tc.want)
		}
	}
	if _, err := LoadConfig(filepath.Join(dir, "gone.conf")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(Options{Source: "builtin:nope.conf"}); err == nil || !strings.Contains(err.Error(), "builtin:fl-ssl.conf") {
		t.Errorf("an unknown built-in must name those there are: %v", err)
	}
	if _, err := Load(Options{Stack: "openssl-4.7", Certificate: p.cert, Key: p.key}); err == nil || !strings.Contains(err.Error(), "openssl-0.9.8zc") {
		t.Errorf("an unknown stack must name those there are: %v", err)
	}
}

func TestOverridesReachEveryServer(t *testing.T) {
	p := newPKI(t, "rsa")
	cfg, err := Load(Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key, Listen: []string{"127.0.0.11:8443"},
		Protocols: []string{"TLSv1"}, Dir: t.TempDir(), Connections: 100,
		Set: map[string]string{"client_header_timeout": "5s", "ssl_session_cache": "off", "keepalive_timeout": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.Listeners[0]
	vs := l.Servers[0]
	if l.Address.String() != "127.0.0.11:8443" || !l.TLS || vs.HeaderTimeout != 5*time.Second || vs.KeepaliveTimeout != 7*time.Second ||
		len(vs.TLS.Versions) != 1 || vs.TLS.Versions[0] != wire.TLS10 || vs.TLS.SessionCache.Mode != "off" || cfg.Workers*cfg.WorkerConnections != 100 {
		t.Errorf("overrides are not all in force: %+v %+v %+v", l, vs, vs.TLS)
	}
	for name, args := range map[string]string{"no_such": "1", "proxy_pass": "http://a", "gzip": "on; root /"} {
		if _, err := Load(Options{Source: "builtin:fl-ssl.conf", Certificate: p.cert, Key: p.key, Set: map[string]string{name: args}}); err == nil {
			t.Errorf("override %s %s must be refused", name, args)
		}
	}
}

func TestTOMLIsTheSameLanguage(t *testing.T) {
	p := newPKI(t, "rsa")
	dir := t.TempDir()
	path := filepath.Join(dir, "edge.toml")
	writeFile(t, path, []byte(`
# an edge
stack = "openssl-1.0.1j"
worker_processes = 2

[events]
worker_connections = 300

[http]
keepalive_timeout = 33
gzip = true

[[http.upstream]]
name = "app"
server = ["127.0.0.1:9001 weight=2", "127.0.0.1:9002"]

[[http.server]]
listen = "127.0.0.1:8443 ssl"
server_name = "example.test www.example.test"
ssl_certificate = "`+p.cert+`"
ssl_certificate_key = "`+p.key+`"

[[http.server.location]]
name = "/"
proxy_pass = "http://app"

[[http.server.location]]
name = "= /gone"
return = "410"
`))
	cfg, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	vs := cfg.Listeners[0].Servers[0]
	if cfg.Stack.Name != "openssl-1.0.1j" || cfg.Workers != 2 || cfg.WorkerConnections != 300 || vs.KeepaliveTimeout != 33*time.Second ||
		len(vs.Names) != 2 || len(cfg.site.Groups()["app"].Servers()) != 2 {
		t.Errorf("read %+v %+v", cfg, vs)
	}
	for text, want := range map[string]string{
		"[http]\nservr = 1\n":           `edge.toml:2: unknown directive "servr"; the nearest that is known is "server"`,
		"stack = 1\n":                   "stack: 1 is not a name",
		"[http]\ngzip = 1.5\n":          "edge.toml:2: gzip: a value of type float64",
		"[http]\nroot = \"a; gzip on\"": "edge.toml:2: root = ",
		"[http\n":                       "edge.toml:1: ",
	} {
		writeFile(t, path, []byte(text))
		if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestPortTakenAndLogThatCannotBeWritten(t *testing.T) {
	p := newPKI(t, "rsa")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg, err := Load(Options{Certificate: p.cert, Key: p.key, Listen: []string{l.Addr().String()}, ErrorLog: filepath.Join(t.TempDir(), "e.log")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port that is taken: %v", err)
	}
	cfg, err = Load(Options{Certificate: p.cert, Key: p.key, ErrorLog: filepath.Join(p.cert, "below-a-file.log")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), "error_log: ") {
		t.Errorf("a log that cannot be written: %v", err)
	}
}

func TestServerNamesChooseAsNginxDoes(t *testing.T) {
	list := []*VirtualServer{{Names: []string{"example.test"}}, {Names: []string{"*.example.test"}}, {Names: []string{"*.deep.example.test", "mail.*"}},
		{Names: []string{`~^(?<user>\w+)\.users\.test$`}}, {Names: []string{".both.test"}},
		{Names: []string{"mail.deep.*"}}}
	for _, s := range list {
		var err error
		if s.names, err = compileNames(s.Names); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		host string
		want int
	}{{"example.test", 0}, {"EXAMPLE.test:443", 0}, {"a.example.test", 1}, {"b.deep.example.test", 2}, {"mail.org", 2}, {"mail.deep.org", 5}, {"joe.users.test", 3},
		{"both.test", 4}, {"x.both.test", 4}, {"nobody.test", -1}, {"", -1}} {
		got, _ := findServer(list, tc.host)
		if tc.want < 0 && got != nil || tc.want >= 0 && got != list[tc.want] {
			t.Errorf("%q chose %+v, want server %d", tc.host, got, tc.want)
		}
	}
}

// Every directive that is not said to be without effect is read somewhere: none is accepted and forgotten.
func TestNoDirectiveIsForgotten(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"*.go", "site/*.go", "upstream/*.go", "nginxconf/load.go", "nginxconf/directives.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if f == "nginxconf/directives.go" { // only what it does with a name, not the table
				_, rest, _ := strings.Cut(string(text), "func Check(")
				text = []byte(rest)
			}
			code.Write(text)
		}
	}
	for _, name := range nginxconf.Names() {
		if !strings.Contains(code.String(), `"`+name+`"`) {
			t.Errorf("%q is known, has no reason to be without effect, and nobody reads it", name)
		}
	}
}

// What a cipher string asks for and does not get here is noted: suites that the engine passes over, levels before their time.
func TestCipherNotes(t *testing.T) {
	p := newPKI(t, "rsa")
	for _, row := range []struct {
		stack, ciphers string
		want           []string
	}{
		{"openssl-1.0.1j", "AES128-SHA:CAMELLIA:DHE-DSS-AES128-SHA:@SECLEVEL=1", []string{"younger than openssl-1.0.1j", "CAMELLIA"}},
		{"openssl-3.0", "AES128-SHA:CAMELLIA128-SHA:@SECLEVEL=0", []string{"CAMELLIA128-SHA"}},
		{"openssl-3.0", "AES128-SHA:PSK:@SECLEVEL=0", nil},
		{"openssl-1.0.1j", "AES128-SHA", nil},
	} {
		cfg, err := Load(Options{Stack: row.stack, Certificate: p.cert, Key: p.key, Dir: t.TempDir(), Ciphers: row.ciphers})
		if err != nil {
			t.Fatal(err)
		}
		if len(cfg.Notes) != len(row.want) {
			t.Errorf("%s, %s: notes %v, wanted %d", row.stack, row.ciphers, cfg.Notes, len(row.want))
			continue
		}
		for i, n := range cfg.Notes {
			if !strings.Contains(n.Text, row.want[i]) {
				t.Errorf("%s, %s: %q, wanted %q in it", row.stack, row.ciphers, n.Text, row.want[i])
			}
		}
	}
}
