package site

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// variables are nginx's, by name. The table is filled in init because some of its functions read it.
var variables map[string]func(*exchange) string

func init() {
	variables = map[string]func(*exchange) string{
		"remote_addr":        func(x *exchange) string { return x.remote.String() },
		"remote_port":        func(x *exchange) string { return strconv.Itoa(int(x.r.Conn.Remote.Port())) },
		"remote_user":        func(x *exchange) string { u, _, _ := x.r.HTTP.BasicAuth(); return u },
		"realip_remote_addr": func(x *exchange) string { return x.r.Conn.Remote.Addr().String() },
		"server_addr":        func(x *exchange) string { return x.r.Conn.Local.Addr().String() },
		"server_port":        func(x *exchange) string { return strconv.Itoa(int(x.r.Conn.Local.Port())) },
		"server_name":        func(x *exchange) string { return x.s.Name },
		"server_protocol":    func(x *exchange) string { return x.r.HTTP.Proto },
		"scheme":             func(x *exchange) string { return x.r.Conn.Scheme },
		"https": func(x *exchange) string {
			if x.r.Conn.Scheme == "https" {
				return "on"
			}
			return ""
		},
		"host":           func(x *exchange) string { return x.host() },
		"hostname":       func(*exchange) string { return hostname },
		"request":        func(x *exchange) string { return x.r.Line },
		"request_method": func(x *exchange) string { return x.method },
		"request_uri":    func(x *exchange) string { return x.requestURI() },
		"uri":            func(x *exchange) string { return x.uri },
		"document_uri":   func(x *exchange) string { return x.uri },
		"args":           func(x *exchange) string { return x.args },
		"query_string":   func(x *exchange) string { return x.args },
		"is_args": func(x *exchange) string {
			if x.args != "" {
				return "?"
			}
			return ""
		},
		"document_root": func(x *exchange) string { return x.documentRoot() },
		"realpath_root": func(x *exchange) string {
			if p, err := filepath.EvalSymlinks(x.documentRoot()); err == nil {
				return p
			}
			return ""
		},
		"request_completion": func(x *exchange) string {
			if x.w.whole() {
				return "OK"
			}
			return ""
		},
		"request_body":            func(x *exchange) string { return x.sentBody },
		"limit_rate":              func(*exchange) string { return "0" },
		"limit_req_status":        func(x *exchange) string { return x.reqStatus },
		"limit_conn_status":       func(x *exchange) string { return x.connStatus },
		"request_id":              func(x *exchange) string { return x.id() },
		"tcpinfo_rtt":             func(*exchange) string { return "" },
		"binary_remote_addr":      func(x *exchange) string { return string(x.remote.AsSlice()) },
		"proxy_protocol_addr":     func(x *exchange) string { return x.proxied(x.r.Conn.Remote.Addr().String()) },
		"proxy_protocol_port":     func(x *exchange) string { return x.proxied(strconv.Itoa(int(x.r.Conn.Remote.Port()))) },
		"realip_remote_port":      func(x *exchange) string { return strconv.Itoa(int(x.r.Conn.Remote.Port())) },
		"http2":                   func(x *exchange) string { return map[bool]string{true: "h2"}[x.r.HTTP.ProtoMajor == 2] },
		"ssl_alpn_protocol":       func(x *exchange) string { return x.r.Conn.ALPN },
		"ssl_client_verify":       func(x *exchange) string { return map[bool]string{true: "NONE"}[x.r.Conn.Protocol != ""] },
		"ssl_early_data":          func(*exchange) string { return "" },
		"ssl_session_id":          func(*exchange) string { return "" },
		"ssl_ciphers":             func(*exchange) string { return "" },
		"ssl_curves":              func(*exchange) string { return "" },
		"ssl_curve":               func(*exchange) string { return "" },
		"ssl_client_s_dn":         func(*exchange) string { return "" },
		"ssl_client_cert":         func(*exchange) string { return "" },
		"ssl_client_escaped_cert": func(*exchange) string { return "" },
		"ssl_client_fingerprint":  func(*exchange) string { return "" },
		"upstream_cache_status":   func(*exchange) string { return "" },
		"upstream_connect_time":   func(x *exchange) string { return strings.Join(x.up.times, ", ") },
		"upstream_header_time":    func(x *exchange) string { return strings.Join(x.up.times, ", ") },
		"upstream_response_length": func(x *exchange) string {
			if len(x.up.addrs) == 0 {
				return ""
			}
			return strconv.FormatInt(x.w.plain, 10)
		},
		"request_filename": func(x *exchange) string { return x.filename() },
		"content_length": func(x *exchange) string {
			if v := x.header().Get("Content-Length"); v != "" || x.r.HTTP.ContentLength >= 0 {
				return v
			}
			return strconv.FormatInt(x.bodyLength, 10)
		},
		"content_type": func(x *exchange) string { return x.header().Get("Content-Type") },
		"proxy_add_x_forwarded_for": func(x *exchange) string {
			if prior := x.header()["X-Forwarded-For"]; len(prior) > 0 {
				return strings.Join(prior, ", ") + ", " + x.remote.String()
			}
			return x.remote.String()
		},
		"proxy_host": func(x *exchange) string { return x.up.host },
		"proxy_port": func(x *exchange) string {
			if _, p, err := net.SplitHostPort(x.up.host); err == nil || x.up.host == "" {
				return p
			}
			return map[bool]string{true: "443", false: "80"}[x.up.secure]
		},
		"status":                 func(x *exchange) string { return fmt.Sprintf("%03d", x.w.code) },
		"body_bytes_sent":        func(x *exchange) string { return strconv.FormatInt(x.w.sent, 10) },
		"bytes_sent":             func(x *exchange) string { return strconv.FormatInt(x.w.total(), 10) },
		"request_length":         func(x *exchange) string { return strconv.FormatInt(x.requestLength(), 10) },
		"request_time":           func(x *exchange) string { return seconds(time.Since(x.r.Start)) },
		"connection":             func(x *exchange) string { return strconv.FormatUint(x.r.Conn.ID, 10) },
		"connection_requests":    func(x *exchange) string { return strconv.Itoa(x.r.Conn.Requests) },
		"pipe":                   func(*exchange) string { return "." },
		"pid":                    func(*exchange) string { return strconv.Itoa(os.Getpid()) },
		"nginx_version":          func(*exchange) string { return "0" },
		"time_local":             func(*exchange) string { return time.Now().Format("02/Jan/2006:15:04:05 -0700") },
		"time_iso8601":           func(*exchange) string { return time.Now().Format("2006-01-02T15:04:05-07:00") },
		"msec":                   func(*exchange) string { n := time.Now().UnixMilli(); return fmt.Sprintf("%d.%03d", n/1000, n%1000) },
		"ssl_protocol":           func(x *exchange) string { return x.r.Conn.Protocol },
		"ssl_cipher":             func(x *exchange) string { return x.r.Conn.Cipher },
		"ssl_server_name":        func(x *exchange) string { return x.r.Conn.ServerName },
		"ssl_session_reused":     func(x *exchange) string { return reused(x.r.Conn) },
		"upstream_addr":          func(x *exchange) string { return strings.Join(x.up.addrs, ", ") },
		"upstream_status":        func(x *exchange) string { return strings.Join(x.up.statuses, ", ") },
		"upstream_response_time": func(x *exchange) string { return strings.Join(x.up.times, ", ") },
		"invalid_referer":        func(x *exchange) string { return x.invalidReferer() },
		"gzip_ratio":             func(x *exchange) string { return x.w.ratio() },
	}
}

func reused(c *ConnInfo) string {
	switch {
	case c.Scheme != "https":
		return ""
	case c.Resumed:
		return "r"
	}
	return "."
}
