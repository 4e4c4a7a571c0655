package proxy

import (
	"fmt"
	"net"
	"strings"

	"tlsurge/harness/proxy/site"
)

// names is server_name compiled: exact names, "*.example.test", "www.example.*", ".example.test" and "~expression".
type names struct {
	exact  map[string]bool
	suffix []string // ".example.test"
	prefix []string // "www.example."
	regex  []*site.Regex
}

func compileNames(list []string) (n names, err error) {
	n.exact = map[string]bool{}
	for _, name := range list {
		lower := strings.ToLower(name)
		switch {
		case strings.HasPrefix(name, "~"):
			// a host is in lower case by then: capitals make the expression one that is blind to case
			re, err := site.CompileRegex(name[1:], lower != name)
			if err != nil {
				return n, fmt.Errorf("server_name %q: %v", name, err)
			}
			n.regex = append(n.regex, re)
		case strings.HasPrefix(lower, "*."):
			n.suffix = append(n.suffix, lower[1:])
		case strings.HasPrefix(lower, "."):
			n.suffix = append(n.suffix, lower)
			n.exact[lower[1:]] = true
		case strings.HasSuffix(lower, ".*"):
			n.prefix = append(n.prefix, lower[:len(lower)-1])
		default:
			n.exact[lower] = true
		}
	}
	return n, nil
}

// Named is the virtual server that a hello with this name gets: the default one where the name is empty or
// nobody's.
func (l *Listener) Named(name string) *VirtualServer {
	if vs, _ := findServer(l.Servers, name); name != "" && vs != nil && vs.TLS != nil {
		return vs
	}
	return l.Servers[0]
}

// findServer chooses the server for a name as nginx does: an exact name, the longest wildcard in front, the
// longest behind, the first expression, whose groups are the request's first. nil: none is named so.
func findServer(servers []*VirtualServer, host string) (*VirtualServer, *site.Captures) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, s := range servers {
		if s.names.exact[host] {
			return s, nil
		}
	}
	var best *VirtualServer
	length := 0
	for _, s := range servers {
		for _, suffix := range s.names.suffix {
			if strings.HasSuffix(host, suffix) && len(suffix) > length {
				best, length = s, len(suffix)
			}
		}
	}
	behind := best == nil
	for _, s := range servers {
		for _, prefix := range s.names.prefix {
			if behind && strings.HasPrefix(host, prefix) && len(prefix) > length {
				best, length = s, len(prefix)
			}
		}
	}
	if best != nil {
		return best, nil
	}
	for _, s := range servers {
		for _, re := range s.names.regex {
			if c := re.Capture(host); c != nil {
				return s, c
			}
		}
	}
	return nil, nil
}
