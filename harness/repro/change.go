package repro

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/scenario"
	"tlsurge/harness/trial"
)

// Change is one thing that a fix or a what-if changes.
type Change struct{ Key, Value string }

// String is the change as it is typed.
func (c Change) String() string { return c.Key + "=" + c.Value }

// kernelNames are the sysctls that may be named without their path.
var kernelNames = []string{"tcp_", "ip_", "somaxconn", "netdev_"}

// ParseChange reads "K=V": a directive of nginx, "stack=NAME", "key=KIND", "fault.NAME=off" or "faults=off", a
// sysctl, or a path as run --set has it.
func ParseChange(s string) (Change, error) {
	key, value, ok := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" {
		return Change{}, fmt.Errorf("--fix %q: want K=V, as ssl_session_tickets=off, stack=openssl-1.0.2 or fault.NAME=off", s)
	}
	c := Change{strings.TrimPrefix(key, "fleet.set."), value}
	switch {
	case c.Key == "stack" || c.Key == "fleet.stack":
		c.Key = "stack"
		if _, err := stack.Lookup(value); err != nil {
			return c, fmt.Errorf("--fix %s: %w", s, err)
		}
	case c.Key == "key" || c.Key == "fleet.key":
		c.Key = "key"
		if value != "rsa-2048" && value != "ecdsa-p256" {
			return c, fmt.Errorf("--fix %s: keys are rsa-2048 and ecdsa-p256", s)
		}
	case c.Key == "fault" || c.Key == "faults" || strings.HasPrefix(c.Key, "fault."):
		if value != "off" {
			return c, fmt.Errorf("--fix %s: a fault can be off, or be changed by a path as faults.NAME.probability=0.1", s)
		}
	case nginxconf.Known(c.Key):
		ds, err := nginxconf.Parse("--fix", []byte(c.Key+" "+value+";"))
		if err != nil || len(ds) != 1 || ds[0].HasBlock {
			return c, fmt.Errorf("--fix %s: not the arguments of one directive", s)
		}
	case slices.ContainsFunc(kernelNames, func(p string) bool { return strings.HasPrefix(c.Key, p) }):
		c.Key = "kernel." + sysctl(c.Key)
	case strings.HasPrefix(c.Key, "net."):
		c.Key = "kernel." + c.Key
	case !strings.Contains(c.Key, "."):
		near := scenario.Suggest(c.Key, append(nginxconf.Names(), "stack", "key", "faults"))
		if near == "" {
			near = "; as stack, key, fault.NAME, ssl_protocols, tcp_tw_reuse, load.connections"
		}
		return c, fmt.Errorf("--fix %s: no directive of nginx that is known here, and no path of a scenario%s", s, near)
	}
	return c, nil
}

// sysctl gives a short name its path.
func sysctl(name string) string {
	if name == "somaxconn" || strings.HasPrefix(name, "netdev_") {
		return "net.core." + name
	}
	return "net.ipv4." + name
}

// apply makes the changes. Those that a recipe does not hold come back as --set has them.
func (r Recipe) apply(changes []Change) (Recipe, []string, error) {
	out := Recipe{slices.Clone(r.Acts), slices.Clone(r.Faults), slices.Clone(r.Visitors)}
	var set []string
	for _, c := range changes {
		switch {
		case c.Key == "stack":
			for i := range out.Acts {
				out.Acts[i].Stack = c.Value
			}
		case c.Key == "key":
			for i := range out.Acts {
				out.Acts[i].Key = c.Value
			}
		case c.Key == "fault" || c.Key == "faults":
			out.Faults = nil
		case strings.HasPrefix(c.Key, "fault."):
			left, err := withoutFault(out.Faults, strings.TrimPrefix(c.Key, "fault."))
			if err != nil {
				return r, nil, err
			}
			out.Faults = left
		case nginxconf.Known(c.Key):
			for i := range out.Acts {
				out.Acts[i].Set = maps.Clone(out.Acts[i].Set)
				out.Acts[i] = out.Acts[i].with(c.Key, c.Value)
			}
		case strings.HasPrefix(c.Key, "kernel."):
			set = append(set, fmt.Sprintf("%s=%q", c.Key, c.Value))
		default:
			set = append(set, c.String())
		}
	}
	return out, set, nil
}

// sets are the changes as --set has them, for a scenario that is no recipe and has these faults.
func sets(changes []Change, faults []string) (set []string) {
	for _, c := range changes {
		switch pattern, isFault := strings.CutPrefix(c.Key, "fault."); {
		case isFault || c.Key == "fault" || c.Key == "faults":
			for _, name := range faults {
				if ok, _ := path.Match(pattern, name); ok || !isFault {
					set = append(set, "faults."+name+".probability=0")
				}
			}
		case c.Key == "stack" || c.Key == "key":
			set = append(set, "fleet."+c.String())
		case nginxconf.Known(c.Key):
			set = append(set, fmt.Sprintf("fleet.set.%s=%q", c.Key, c.Value))
		case strings.HasPrefix(c.Key, "kernel."):
			set = append(set, fmt.Sprintf("%s=%q", c.Key, c.Value))
		default:
			set = append(set, c.String())
		}
	}
	return set
}

// withoutFault leaves out the faults whose name or action the pattern fits.
func withoutFault(list []trial.Fault, pattern string) (left []trial.Fault, err error) {
	var names []string
	for i, f := range list {
		name := faultName(list, i)
		names = append(names, name)
		byName, err := path.Match(pattern, name)
		if err != nil {
			return nil, fmt.Errorf("--fix fault.%s=off: not a pattern: * and ? and [a-z] are allowed", pattern)
		}
		if !byName && pattern != string(f.Action) {
			left = append(left, f)
		}
	}
	if len(left) == len(list) {
		return nil, fmt.Errorf("--fix fault.%s=off: the recipe has no such fault; it has %s", pattern, orNone(names))
	}
	return left, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
