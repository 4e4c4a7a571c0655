// Package sandbox puts a run into namespaces of its own and makes sure that nothing of it survives.
//
// A run is three processes of the same binary:
//
//	outer        what the user started. Forwards the first interrupt, returns the exit code.
//	init         process 1 of a new PID namespace. Adopts orphans and ends with the coordinator.
//	coordinator  the run itself. Its children, and theirs (an nginx's workers), live in the namespace.
//
// When init ends, however it ends, the kernel kills every process of the namespace, stopped ones
// included (pid_namespaces(7)), and sockets, filters, devices and the network namespace go with them.
// init ends when the coordinator does, and when outer does: by parent-death signal, and because the
// write end of a pipe that outer holds is closed.
//
// The package knows nothing of TLS, edges or agents. It changes only processes that it starts itself:
// namespaces are asked for at clone, never joined by a running Go process, whose threads would differ.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
)

// Need is what a run asks of its surroundings.
type Need struct {
	// Filters: packets are dropped by socket filters, which takes CAP_NET_ADMIN over the network
	// namespace in which edges and agents live.
	Filters bool
	// OwnNet: a network namespace of its own even where the caller's would do ([run] netns = "own").
	OwnNet bool
	// Outside: the caller's network namespace is kept: a target that is not ours, or agents from elsewhere,
	// must be reachable, or [run] netns = "caller".
	Outside bool
}

// Place is where the coordinator finds itself.
type Place struct {
	UserNS bool `json:"user_ns"`
	PIDNS  bool `json:"pid_ns"`
	OwnNet bool `json:"own_net"`
	// Notes say what is weaker here than elsewhere, for the report.
	Notes []string `json:"notes,omitempty"`

	// Within is the coordinator's PID namespace: the note is for it alone, not for whoever inherits the
	// environment.
	Within string `json:"within"`
}

// envPlace carries the Place from init to the coordinator.
const envPlace = "TLSURGE_SANDBOX"

// Enter puts the rest of the program into the sandbox.
//
// In the process that the user started it runs the program again inside, waits, and returns done and the
// exit code. In the coordinator it returns where it is, and the program goes on. An UnsupportedError
// says that the kernel refuses what need asks for; nothing was started then.
func Enter(need Need) (place Place, done bool, code int, err error) {
	if place, ok := entered(); ok {
		return place, false, 0, nil
	}
	ways, err := waysFor(need, rights{netAdmin: sockfilter.Probe() == nil, sysAdmin: hasCapability(capSysAdmin)})
	if err != nil {
		return Place{}, true, 0, err
	}
	var refused []error
	for _, w := range ways {
		code, err := runOuter(w, need)
		var no *refusal
		if errors.As(err, &no) {
			refused = append(refused, fmt.Errorf("%s: %w", w.name, no.err))
			continue
		}
		return Place{}, true, code, err
	}
	return Place{}, true, 0, unsupported(need, errors.Join(refused...))
}

// entered reads and removes the note that init left for the coordinator.
func entered() (Place, bool) {
	note := os.Getenv(envPlace)
	os.Unsetenv(envPlace)
	var p Place
	if note == "" || json.Unmarshal([]byte(note), &p) != nil || p.Within != pidNamespace() {
		return Place{}, false
	}
	return p, true
}

// pidNamespace names the PID namespace and the parent in it: a stale note in an inherited environment
// does not match.
func pidNamespace() string {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s/%d", link, os.Getppid())
}

// rights are what the caller may do.
type rights struct {
	netAdmin bool // CAP_NET_ADMIN over the current network namespace
	sysAdmin bool // CAP_SYS_ADMIN: namespaces without a user namespace
}

// way is one manner of running inside.
type way struct {
	name  string
	flags uintptr // of clone; 0: no namespace, a subreaper instead of process 1
	note  string
}

const (
	newPID  = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS // the mount namespace gives it a /proc of its own
	newUser = syscall.CLONE_NEWUSER
	newNet  = syscall.CLONE_NEWNET
)

var (
	inPlace      = way{name: "a PID namespace in the caller's network", flags: newPID}
	ownNet       = way{name: "PID and network namespaces", flags: newPID | newNet}
	userOwnNet   = way{name: "user, PID and network namespaces", flags: newUser | newPID | newNet}
	userInPlace  = way{name: "user and PID namespaces in the caller's network", flags: newUser | newPID}
	withoutSpace = way{name: "no namespace",
		note: "no PID namespace: processes of the run that escape their parent are ended by a subreaper, which kill -9 of that one process defeats"}
)

// waysFor lists what to try, best first. It is a function of its arguments alone.
func waysFor(need Need, have rights) ([]way, error) {
	filtersHere := !need.Filters || have.netAdmin
	if need.Outside && (need.OwnNet || !filtersHere) {
		what, instead := "socket filters in the caller's network", "engine relay, or run with CAP_NET_ADMIN"
		if need.OwnNet {
			what, instead = `a target or agents outside with netns = "own"`, `netns = "caller"`
		}
		return nil, &faults.UnsupportedError{Engine: "sandbox", What: what,
			Reason: "they take CAP_NET_ADMIN over it, and from a namespace of our own nothing outside can be reached", Instead: instead}
	}
	var ways []way
	switch {
	case need.OwnNet && have.sysAdmin && have.netAdmin:
		ways = append(ways, ownNet, userOwnNet)
	case need.OwnNet || !filtersHere:
		ways = append(ways, userOwnNet)
	case have.sysAdmin && have.netAdmin:
		ways = append(ways, inPlace, withoutSpace)
	case need.Outside:
		// In a user namespace a capability over the caller's network would be lost.
		if !need.Filters {
			ways = append(ways, userInPlace)
		}
		ways = append(ways, withoutSpace)
	default:
		ways = append(ways, userOwnNet)
		if !need.Filters {
			ways = append(ways, userInPlace)
		}
		ways = append(ways, withoutSpace)
	}
	return ways, nil
}

func unsupported(need Need, refused error) error {
	e := &faults.UnsupportedError{Engine: "sandbox", What: "a network namespace of our own",
		Reason: strings.ReplaceAll(refused.Error(), "\n", ", ") + userNamespaceLimits(),
		Instead: `rules of the engines relay and edge (set engine on each, or leave socket filters out), ` +
			`or CAP_NET_ADMIN in the caller's network`}
	if need.Filters {
		e.What = "socket filters (CAP_NET_ADMIN over the network namespace)"
	}
	if need.OwnNet {
		e.Instead = `netns = "caller"`
	}
	return e
}

// userNamespaceLimits reads the kernel's own words on user namespaces, where it has any.
func userNamespaceLimits() string {
	var said []string
	for _, name := range []string{"user/max_user_namespaces", "kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"} {
		if b, err := os.ReadFile("/proc/sys/" + name); err == nil {
			said = append(said, strings.ReplaceAll(name, "/", ".")+" = "+strings.TrimSpace(string(b)))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return " (" + strings.Join(said, ", ") + ")"
}
