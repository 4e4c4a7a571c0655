package trial

import (
	"fmt"
	"io"
	"slices"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/wire"
)

// Server is a personality with a configuration, to be joined to browsers in memory. One goroutine at a
// time uses it.
type Server struct {
	Name  string
	stack *stack.Stack
	host  string
	cfg   engine.ServerConfig
}

// ServerOptions are the settings that matter to a handshake; empty ones take the stack's defaults.
type ServerOptions struct {
	Host         string // name in the certificate
	Protocols    []string
	Ciphers      string // OpenSSL's language
	PreferServer bool
	Certificates []*engine.Certificate
}

// NewServer makes a server of a stack. The stack "go" is real crypto/tls, which needs a socket, and is
// refused.
func NewServer(st *stack.Stack, o ServerOptions) (*Server, error) {
	if !st.Library {
		return nil, fmt.Errorf("stack %s is no engine personality: it cannot be played in memory", st.Name)
	}
	versions := slices.DeleteFunc(slices.Clone(st.Versions), func(v wire.Version) bool { return v < wire.TLS10 })
	if len(o.Protocols) > 0 {
		var err error
		if versions, _, err = st.Protocols(o.Protocols); err != nil {
			return nil, err
		}
	}
	ciphers := o.Ciphers
	if ciphers == "" {
		ciphers = st.DefaultCiphers
	}
	list, err := st.Expand(ciphers)
	if err != nil {
		return nil, err
	}
	versions = st.AtLevel(versions, list.SecurityLevel)
	return &Server{Name: st.Name, stack: st, host: o.Host, cfg: engine.ServerConfig{
		Certificates: o.Certificates, Versions: engine.Versions(versions...), Suites: list.Suites, PreferServer: o.PreferServer,
		Groups: st.Groups, DHBits: st.DHBits, ALPN: st.ALPN, NPN: st.NPN, SessionLifetime: 5 * time.Minute, TicketCount: 2,
		Rules: st.RulesAt(list.SecurityLevel), Renegotiate: engine.RenegotiateClose,
	}}, nil
}

// reset forgets sessions and draws new ticket keys: a trial knows nothing of the one before.
func (s *Server) reset(random io.Reader) {
	s.cfg.Rand = random
	s.cfg.Sessions = memoryStore{}
	s.cfg.Tickets = nil
	if s.stack.Tickets {
		var k engine.TicketKey
		for _, part := range [][]byte{k.Name[:], k.AES[:], k.HMAC[:]} {
			_, _ = io.ReadFull(random, part) // a seeded stream has no end
		}
		s.cfg.Tickets = engine.FixedTicketKeys{k}
	}
}

func (s *Server) conn(random io.Reader) *engine.Conn {
	s.cfg.Rand = random
	return engine.NewServer(&s.cfg)
}

// memoryStore keeps sessions by ID; trials are short, so nothing expires.
type memoryStore map[string]*engine.Session

func (m memoryStore) Get(_ time.Time, id []byte) *engine.Session    { return m[string(id)] }
func (m memoryStore) Put(_ time.Time, id []byte, s *engine.Session) { m[string(id)] = s }
func (m memoryStore) Delete(id []byte)                              { delete(m, string(id)) }
