package scenario

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// mostSites bounds the certificates of a fleet: each takes a key.
const mostSites = 16

// checkCertificates refuses sites that have no name and patterns that no edge matches.
func (s *Scenario) checkCertificates(d *decoder) error {
	f := &s.Fleet
	sites := []string{"fleet", "sites"}
	switch {
	case len(f.Sites) > mostSites:
		return d.fail(sites, "%d sites; allowed: at most %d", len(f.Sites), mostSites)
	case len(f.Sites) > 1 && f.Edge == "haproxy":
		return d.fail(sites, "an edge that is a HAProxy has one site here; allowed with fleet.edge = \"bundled\" or \"nginx\"")
	case len(f.Sites) > 0 && !slices.Contains(f.Sites, f.ServerName):
		return d.fail(sites, "server_name %q, which the browsers visit, is not among them", f.ServerName)
	}
	for i, name := range f.Sites {
		if !hostName(name) || slices.Contains(f.Sites[:i], name) {
			return d.fail(sites, "%q: want host names, each once", name)
		}
	}
	var edges []string
	for i := range f.Edges {
		edges = append(edges, fmt.Sprintf("edge-%d", i+1))
	}
	c := &f.Certificate
	for i, name := range c.Names {
		if !hostName(strings.TrimPrefix(name, "*.")) || slices.Contains(c.Names[:i], name) {
			return d.fail([]string{"fleet", "certificate", "names"}, "%q: want host names, each once", name)
		}
	}
	for key, patterns := range map[string][]string{"incomplete": c.Incomplete, "expired": c.Expired} {
		for _, p := range patterns {
			at := []string{"fleet", "certificate", key}
			if _, err := path.Match(p, ""); err != nil {
				return d.fail(at, "%q: not a pattern: * and ? and [a-z] are allowed", p)
			}
			if !anyMatch(p, edges) {
				return d.fail(at, "%q matches no edge of this scenario; there are: %s", p, strings.Join(edges, ", "))
			}
		}
	}
	c.Intermediate = c.Intermediate || len(c.Incomplete) > 0 // without one nothing can be forgotten
	return nil
}
