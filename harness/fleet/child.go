package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/harness/cluster"
	"tlsurge/harness/fleet/sandbox"
)

// childPrefix marks the hidden subcommands under which children run: "child:edge".
const childPrefix = "child:"

// Exit codes of children; they are those of the command line.
const (
	exitConfig      = 2
	exitUnsupported = 3
	exitInternal    = 5
)

// childBodies are the children's programs. A new kind of child is a line here.
var childBodies = map[string]func(*child) error{
	"edge":             runEdge,
	"application":      runApplication,
	"balancer":         runBalancer,
	"nginx":            runNginx,
	"haproxy":          runHAProxyEdge,
	"haproxy-balancer": runHAProxy,
	"agent":            runAgent,
}

// child is what a child's body has to work with.
type child struct {
	ctx    context.Context // ends with SIGTERM
	name   string
	order  []byte // JSON from the coordinator
	member *cluster.Member
}

// ChildVerb says whether the program was started as a child, and as which one.
func ChildVerb(args []string) (verb string, ok bool) {
	if len(args) < 2 {
		return "", false
	}
	return strings.CutPrefix(args[1], childPrefix)
}

// ChildMain is the whole program of a child. args is what follows the verb.
func ChildMain(verb string, args []string) int {
	if verb == sandbox.InitVerb {
		return sandbox.InitMain(args)
	}
	body := childBodies[verb]
	if body == nil || len(args) != 1 {
		fmt.Fprintf(os.Stderr, "tlsurge: %s%s is started by tlsurge itself, with a name\n", childPrefix, verb)
		return exitConfig
	}
	if err := runChild(verb, body, args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return childExit(err)
	}
	return 0
}

func runChild(verb string, body func(*child) error, name string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal fault: %v\n%s", r, debug.Stack())
		}
	}()
	// The coordinator decides when children end. A terminal's interrupt is its affair.
	signal.Ignore(syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	order, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	c := &child{ctx: ctx, name: name, order: order}
	if verb == "agent" {
		stepForward()
	}
	return body(c)
}

// agentNice is how far agents go before the fleet where both share a machine's cores: an agent that has to wait for
// a core sends late and reads late, and then measures itself.
const agentNice = -5

// useCPUs keeps this process and its children to the last n of the processors that it may use: the first are left
// to others. 0: all.
func useCPUs(n int) error {
	return chooseCPUs(func(all int) (from, to int) { return all - n, all }, n)
}

// spareCPUs keeps this process off the last n of the processors that it may use, where that leaves it one: an edge
// that is to have one processor has it for itself.
func spareCPUs(n int) error {
	return chooseCPUs(func(all int) (from, to int) { return 0, all - n }, n)
}

// chooseCPUs keeps this process to a range of its processors, unless n is none or all of them.
func chooseCPUs(of func(all int) (from, to int), n int) error {
	var all, few unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil || n == 0 || n >= all.Count() {
		return err
	}
	from, to := of(all.Count())
	for cpu, i := 0, 0; cpu < 64*len(all); cpu++ {
		if all.IsSet(cpu) {
			if from <= i && i < to {
				few.Set(cpu)
			}
			i++
		}
	}
	runtime.GOMAXPROCS(to - from)
	var failed error
	eachThread(func(id int) { failed = errors.Join(failed, unix.SchedSetaffinity(id, &few)) })
	return failed
}

// stepForward raises the priority of all threads of this process, which those that come later inherit. It takes
// CAP_SYS_NICE; without it the agent is one among many, and the run's schedule lag shows what that costs.
func stepForward() {
	eachThread(func(id int) { _ = unix.Setpriority(unix.PRIO_PROCESS, id, agentNice) })
}

// eachThread calls f for all threads of this process; later ones inherit what f sets.
func eachThread(f func(id int)) {
	for range 2 { // a thread that began during the first round, from one not yet reached, is found in the second
		tasks, _ := os.ReadDir("/proc/self/task")
		for _, t := range tasks {
			if id, err := strconv.Atoi(t.Name()); err == nil {
				f(id)
			}
		}
	}
}

// join connects the child to its coordinator. The caller announces it when its handlers are in place.
func (c *child) join(role string) error {
	e, err := cluster.EndpointFromEnv()
	if err != nil {
		return err
	}
	c.member, err = cluster.Join(c.ctx, e, c.name, role)
	return err
}

// leave delivers the rest of the evidence.
func (c *child) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout/2)
	defer cancel()
	return c.member.Close(ctx)
}

// decodeOrder reads the coordinator's order.
func decodeOrder[T any](c *child) (T, error) {
	var order T
	if err := json.Unmarshal(c.order, &order); err != nil {
		return order, fmt.Errorf("order: %w", err)
	}
	return order, nil
}

// configError marks what the user can mend: exit code 2.
type configError struct{ err error }

func (e *configError) Error() string { return e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// childExit turns a child's error into its exit code.
func childExit(err error) int {
	var ce *configError
	switch {
	case errors.Is(err, faults.ErrUnsupported):
		return exitUnsupported
	case errors.As(err, &ce):
		return exitConfig
	}
	return exitInternal
}
