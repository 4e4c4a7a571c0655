package proxy

import (
	"fmt"
	"testing"
)

// The groups of a server_name are variables and $1 to $9 of its requests until another expression matches, as in nginx.
func TestGroupsOfServerNamesAsNginx(t *testing.T) {
	need(t, "nginx")
	p := startPair(t, `error_log @dir@/error.log info; pid @dir@/pid; events { worker_connections 64; }
http { @temp@
 server_tokens off; log_format l '$sub|$zone|$status $body_bytes_sent'; access_log @dir@/access.log l;
 server { listen @addr@; server_name example.test; return 200 "default [$sub] [$1]\n"; }
 server { listen @addr@; server_name exact.users.test ~^(?<sub>[a-z0-9-]+)\.users\.test$ ~^(?P<sub>\w+)\.(?<zone>\w+)\.more\.test$;
  location / { return 200 "$server_name $host [$sub] [$zone] [$1] [$2] [$3]\n"; }
  location ~ ^/cap/(\w+) { return 200 "[$sub] [$1] [$2]\n"; }
  location /if { if ($uri ~ "^/if/(..)(..)") { return 200 "[$sub] $1 $2\n"; } return 200 "[$sub] $1\n"; }
  location /to { return 301 http://$sub.elsewhere.test/$1; } }
 server { listen @addr@; server_name "~^(WWW|shop)\.(?<sub>.+)\.case\.test$"; return 200 "$1 $sub\n"; }
 server { listen @addr@; server_name "~^(?!no)(?<sub>\w)(\w+)\.(?<zone>a\w+)\.test$"; return 200 "$1 $2 $3 $sub $zone\n"; }
}`)
	for _, host := range []string{"example.test", "joe.users.test", "JOE.users.test", "joe.users.test:8080", "joe.users.test.", "exact.users.test", "a.b.more.test",
		"www.x.case.test", "shop.X.y.case.test", "yes.ahead.test", "no.ahead.test", "nobody.test"} {
		for _, target := range []string{"/", "/cap/abc", "/if/abcd", "/if/", "/to", "http://abs.users.test/"} {
			raw := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, host)
			if ours, theirs := p.ask(t, 0, raw), p.ask(t, 1, raw); ours != theirs {
				t.Errorf("%s of %s:\nours:\n%s\nnginx:\n%s", target, host, ours, theirs)
			}
		}
	}
}
