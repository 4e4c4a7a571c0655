package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// maxPayload bounds one NATS message: a snapshot, a batch of evidence, a phase's configuration.
const maxPayload = 8 << 20

// embedded is the NATS server inside the coordinator, with a Unix socket as its door. The door outlives
// the server: it can be stopped and started again under connected members.
type embedded struct {
	token  string
	listen string // TCP address for agents of other machines; empty: no port
	tls    *tls.Config

	door *net.UnixListener
	wg   sync.WaitGroup // accept loop and splices

	mu   sync.Mutex
	ns   *server.Server // nil while stopped
	open map[net.Conn]bool
}

func newEmbedded(path, token, listen string, tlsCfg *tls.Config) (*embedded, error) {
	e := &embedded{token: token, listen: listen, tls: tlsCfg, open: map[net.Conn]bool{}}
	if err := e.start(); err != nil {
		return nil, err
	}
	door, err := listenUnix(path)
	if err != nil {
		e.stop()
		return nil, err
	}
	e.door = door
	e.wg.Add(1)
	go e.accept()
	return e, nil
}

func (e *embedded) start() error {
	opts := &server.Options{
		ServerName:    "tlsurge",
		DontListen:    e.listen == "",
		NoLog:         true,
		NoSigs:        true,
		MaxPayload:    maxPayload,
		MaxPending:    64 << 20,
		Authorization: e.token,
		TLSConfig:     e.tls,
		TLS:           e.tls != nil,
		TLSTimeout:    5,
	}
	if e.listen != "" {
		host, port, err := splitHostPort(e.listen)
		if err != nil {
			return err
		}
		if err := probeListen(e.listen); err != nil {
			return fmt.Errorf("NATS server: %w", err)
		}
		opts.Host, opts.Port = host, port
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	go ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		ns.Shutdown()
		return errors.New("NATS server: not ready within 10 s")
	}
	e.mu.Lock()
	e.ns = ns
	e.mu.Unlock()
	return nil
}

// stop ends the server and every connection to it; the door stays.
func (e *embedded) stop() {
	e.mu.Lock()
	ns := e.ns
	e.ns = nil
	e.mu.Unlock()
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

func (e *embedded) close() {
	e.door.Close()
	e.mu.Lock()
	for c := range e.open {
		c.Close()
	}
	e.mu.Unlock()
	e.stop()
	e.wg.Wait()
}

// dial is a connection inside the process.
func (e *embedded) dial() (net.Conn, error) {
	e.mu.Lock()
	ns := e.ns
	e.mu.Unlock()
	if ns == nil {
		return nil, errors.New("NATS server is stopped")
	}
	return ns.InProcessConn()
}

// address is where the TCP listener is; nil without one.
func (e *embedded) address() net.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ns == nil || e.listen == "" {
		return nil
	}
	return e.ns.Addr()
}

func (e *embedded) accept() {
	defer e.wg.Done()
	for {
		outer, err := e.door.Accept()
		if err != nil {
			return // the door was closed
		}
		inner, err := e.dial()
		if err != nil {
			outer.Close()
			continue
		}
		e.mu.Lock()
		e.open[outer] = true
		e.mu.Unlock()
		e.wg.Add(2)
		go e.pump(inner, outer)
		go e.pump(outer, inner)
	}
}

// pump copies until either side ends, and then ends both.
func (e *embedded) pump(to, from net.Conn) {
	defer e.wg.Done()
	buf := make([]byte, 32<<10)
	io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf)
	to.Close()
	from.Close()
	e.mu.Lock()
	delete(e.open, to)
	delete(e.open, from)
	e.mu.Unlock()
}

// listenUnix makes a socket that only this user can connect to.
//
// A socket's path has room for 107 bytes (struct sockaddr_un), a run's directory may be deeper: bind
// and connect go through an open descriptor of the directory, /proc/self/fd/N/name.
func listenUnix(path string) (*net.UnixListener, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer done()
	// bind gives the file the mode of the socket's own inode: set before, there is no moment in which
	// others could connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := private.Listen(context.Background(), "unix", short)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	door := l.(*net.UnixListener)
	door.SetUnlinkOnClose(false) // by then the short name is gone; the hub removes path itself
	return door, nil
}

func dialUnix(path string) (net.Conn, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer done()
	return net.DialTimeout("unix", short, 5*time.Second)
}

// shortPath is path by way of its directory's descriptor, which done closes.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}
