package fleet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"time"

	"tlsurge/harness/proxy"
)

// keeper keeps one real server, an nginx or a HAProxy: a program that knows nothing of us.
type keeper struct {
	*child
	addr  netip.AddrPort // where it listens
	cmd   *exec.Cmd
	ended chan error
	tail  tail
	out   io.Writer // where its standard output goes; nil: with its complaints
}

// run starts the server and waits until it accepts.
func (k *keeper) run(binary string, args ...string) error {
	// A port in use is found here, where the error names it; the server might try for seconds.
	l, err := proxy.ListenTCP(k.addr)
	if err != nil {
		return &configError{err}
	}
	l.Close()
	k.cmd = exec.Command(binary, args...)
	k.cmd.Stdout, k.cmd.Stderr = &k.tail, &k.tail
	if k.out != nil {
		k.cmd.Stdout = k.out
	}
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	k.cmd.WaitDelay = time.Second
	if err := k.cmd.Start(); err != nil {
		return &configError{fmt.Errorf("%s: %w", binary, err)}
	}
	k.ended = make(chan error, 1)
	go func() { k.ended <- k.cmd.Wait() }()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		select {
		case err := <-k.ended:
			return &configError{fmt.Errorf("%s: %v: %s", binary, err, k.tail.String())}
		case <-k.ctx.Done():
			return context.Cause(k.ctx)
		case <-retry.C:
			if conn, err := net.DialTimeout("tcp", k.addr.String(), time.Second); err == nil {
				conn.Close()
				return nil
			}
		}
	}
}

// watch calls look each second, and a last time with the server still there when it is told to end.
func (k *keeper) watch(look func(last bool)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := k.ctx.Done()
	for {
		select {
		case <-tick.C:
			look(false)
		case <-told:
			look(true)
			told = nil
			k.cmd.Process.Signal(syscall.SIGTERM)
		case err := <-k.ended:
			if told == nil {
				return nil
			}
			look(true)
			return fmt.Errorf("%s ended by itself: %v: %s", k.cmd.Path, err, k.tail.String())
		}
	}
}
