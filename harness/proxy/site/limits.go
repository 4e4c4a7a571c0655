package site

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/limit"
	"tlsurge/harness/proxy/nginxconf"
)

// limits is limit_req and limit_conn of a location.
type limits struct {
	requests    []limit.RequestLimit
	connections []connectionLimit
	keys        []*template // of requests
	req, conn   refusal
}

type connectionLimit struct {
	zone *limit.Connections
	key  *template
	most int
}

// refusal is how a limit says no.
type refusal struct {
	status int
	level  string
	dry    bool // it only says that it would
}

// zones are those of limit_req_zone and limit_conn_zone, by name.
type zones struct {
	requests    map[string]*limit.Requests
	connections map[string]*limit.Connections
	keys        map[string]*template
}

var limitDefaults = limits{req: refusal{status: http.StatusServiceUnavailable, level: "error"}, conn: refusal{status: http.StatusServiceUnavailable, level: "error"}}

// never is the delay of nodelay: no excess reaches it.
const never = 1 << 50

// minZone is the least that nginx takes for a zone: eight pages.
const minZone = 32 << 10

// limitZones reads the zones, which locations name before or behind.
func (b *builder) limitZones(block []*nginxconf.Directive) error {
	z := zones{requests: map[string]*limit.Requests{}, connections: map[string]*limit.Connections{}, keys: map[string]*template{}}
	for _, d := range block {
		if d.Name != "limit_req_zone" && d.Name != "limit_conn_zone" {
			continue
		}
		if err := b.limitZone(&z, d); err != nil {
			return b.at(d, fmt.Errorf("%s: %w", d.Name, err))
		}
	}
	b.site.zones = z
	return nil
}

func (b *builder) limitZone(z *zones, d *nginxconf.Directive) error {
	key, err := b.parseTemplate(d.Args[0])
	if err != nil {
		return err
	}
	var name string
	var size, rate int64
	for _, a := range d.Args[1:] {
		word, value, _ := strings.Cut(a, "=")
		switch {
		case word == "zone":
			var text string
			var ok bool
			if name, text, ok = strings.Cut(value, ":"); !ok || name == "" {
				return fmt.Errorf("invalid zone %q: want zone=NAME:SIZE", a)
			}
			if size, err = Size(text); err != nil {
				return err
			}
			if size < minZone {
				return fmt.Errorf("zone %q is too small: 32k or more", a)
			}
		case word == "rate" && d.Name == "limit_req_zone":
			if rate, err = parseRate(value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("invalid parameter %q: allowed are zone=NAME:SIZE and, of limit_req_zone, rate=NUMBERr/s or r/m", a)
		}
	}
	if name == "" {
		return fmt.Errorf("no zone=NAME:SIZE")
	}
	if z.keys[name] != nil {
		return fmt.Errorf("zone %q is already bound to a key", name)
	}
	z.keys[name] = key
	if d.Name == "limit_conn_zone" {
		z.connections[name] = limit.NewConnections(name, size)
		return nil
	}
	if rate == 0 {
		rate = limit.Thousand // nginx's default
	}
	z.requests[name] = limit.NewRequests(name, size, rate)
	return nil
}

// parseRate reads "10r/s" or "30r/m" into thousandths of a request a second.
func parseRate(text string) (int64, error) {
	number, scale := text, int64(1)
	if n, ok := strings.CutSuffix(text, "r/s"); ok {
		number = n
	} else if n, ok := strings.CutSuffix(text, "r/m"); ok {
		number, scale = n, 60
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > limit.MaxRate {
		return 0, fmt.Errorf("invalid rate %q: a number of 1 to %d and r/s or r/m", text, limit.MaxRate)
	}
	return max(1, n*limit.Thousand/scale), nil
}

// limitSetters are the settings of limit_req and limit_conn.
func limitSetters() map[string]setter {
	requests, connections := func(c *conf) *refusal { return &c.limits.req }, func(c *conf) *refusal { return &c.limits.conn }
	return map[string]setter{
		"limit_req":            setLimitReq,
		"limit_conn":           setLimitConn,
		"limit_req_dry_run":    flag(func(c *conf) *bool { return &c.limits.req.dry }),
		"limit_conn_dry_run":   flag(func(c *conf) *bool { return &c.limits.conn.dry }),
		"limit_req_status":     setLimitStatus(requests),
		"limit_conn_status":    setLimitStatus(connections),
		"limit_req_log_level":  setLimitLevel(requests),
		"limit_conn_log_level": setLimitLevel(connections),
	}
}

func setLimitStatus(of func(*conf) *refusal) setter {
	return func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
		n, err := strconv.Atoi(d.Args[0])
		if err != nil || n < 400 || n > 599 {
			return fmt.Errorf("%q: a status of 400 to 599", d.Args[0])
		}
		of(c).status = n
		return nil
	}
}

func setLimitLevel(of func(*conf) *refusal) setter {
	return func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
		if !slices.Contains([]string{"info", "notice", "warn", "error"}, d.Args[0]) {
			return fmt.Errorf("invalid value %q: allowed are info, notice, warn, error", d.Args[0])
		}
		of(c).level = d.Args[0]
		return nil
	}
}

func setLimitReq(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.limits.requests, c.limits.keys = nil, nil
	}
	var l limit.RequestLimit
	for _, a := range d.Args {
		word, value, _ := strings.Cut(a, "=")
		var err error
		switch word {
		case "zone":
			if l.Zone = b.site.zones.requests[value]; l.Zone == nil {
				return fmt.Errorf("no limit_req_zone is called %q", value)
			}
		case "burst":
			l.Burst, err = thousands(value, 1)
		case "delay":
			l.Delay, err = thousands(value, 0)
		case "nodelay":
			l.Delay = never
		default:
			return fmt.Errorf("invalid parameter %q: allowed are zone=NAME, burst=NUMBER, nodelay, delay=NUMBER", a)
		}
		if err != nil {
			return fmt.Errorf("invalid %s %q: %v", word, value, err)
		}
	}
	if l.Zone == nil {
		return fmt.Errorf("no zone=NAME")
	}
	if slices.ContainsFunc(c.limits.requests, func(o limit.RequestLimit) bool { return o.Zone == l.Zone }) {
		return fmt.Errorf("zone %q is named twice", l.Zone.Name)
	}
	c.limits.requests = append(slices.Clip(c.limits.requests), l)
	c.limits.keys = append(slices.Clip(c.limits.keys), b.site.zones.keys[l.Zone.Name])
	return nil
}

func thousands(text string, least int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < least {
		return 0, fmt.Errorf("a number, %d or more", least)
	}
	return n * limit.Thousand, nil
}

func setLimitConn(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.limits.connections = nil
	}
	l := connectionLimit{zone: b.site.zones.connections[d.Args[0]], key: b.site.zones.keys[d.Args[0]]}
	if l.zone == nil {
		return fmt.Errorf("no limit_conn_zone is called %q", d.Args[0])
	}
	var err error
	if l.most, err = strconv.Atoi(d.Args[1]); err != nil || l.most < 1 || l.most > 65535 {
		return fmt.Errorf("%q: a number of 1 to 65535", d.Args[1])
	}
	if slices.ContainsFunc(c.limits.connections, func(o connectionLimit) bool { return o.zone == l.zone }) {
		return fmt.Errorf("zone %q is named twice", d.Args[0])
	}
	c.limits.connections = append(slices.Clip(c.limits.connections), l)
	return nil
}

// withinLimits asks the limits, requests first, and lets the request wait where they say so. false: it was refused, or its
// client has left.
func (x *exchange) withinLimits() bool {
	return x.withinRate() && x.withinCount()
}

func (x *exchange) withinRate() bool {
	l := &x.conf.limits
	if len(l.requests) == 0 || x.reqStatus != "" {
		return true
	}
	keys := make([]string, len(l.keys))
	for i, k := range l.keys {
		keys[i] = k.eval(x)
	}
	v, applied := limit.Take(time.Now(), l.requests, keys)
	dry, mark := "", ""
	if l.req.dry {
		dry, mark = ", dry run", "_DRY_RUN"
	}
	switch {
	case !applied:
	case v.Busy:
		x.log(l.req.level, "limiting requests%s, excess: %s by zone %q", dry, excess(v.Excess), v.Zone)
		if x.reqStatus = "REJECTED" + mark; !l.req.dry {
			x.fail(l.req.status)
		}
		return l.req.dry
	case v.Wait == 0:
		x.reqStatus = "PASSED"
	default:
		x.log(milder(l.req.level), "delaying request%s, excess: %s, by zone %q", dry, excess(v.Excess), v.Zone)
		x.reqStatus = "DELAYED" + mark
		return l.req.dry || x.waits(v.Wait)
	}
	return true
}

// excess is nginx's way to write thousandths.
func excess(n int64) string { return fmt.Sprintf("%d.%03d", n/limit.Thousand, n%limit.Thousand) }

// milder is the level of a delay, one below that of a refusal.
func milder(level string) string {
	return map[string]string{"error": "warn", "warn": "notice", "notice": "info", "info": "info"}[level]
}

// waits holds the request back; false: its client has left, or the edge stops.
func (x *exchange) waits(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	left := false
	select {
	case <-timer.C:
		left = x.r.Gone != nil && x.r.Gone()
	case <-x.r.Context.Done():
		left = true
	case <-x.s.site.env.Ended:
		left = true
	}
	if left {
		x.log("info", "client prematurely closed connection")
		x.w.drop(499)
	}
	return !left
}

func (x *exchange) withinCount() bool {
	l := &x.conf.limits
	if x.connStatus != "" {
		return true
	}
	for _, c := range l.connections {
		key := c.key.eval(x)
		if key == "" {
			continue
		}
		x.connStatus = "PASSED"
		if c.zone.Take(key, c.most) {
			x.counted = append(x.counted, func() { c.zone.Give(key) })
			continue
		}
		x.uncount()
		if l.conn.dry {
			x.log(l.conn.level, "limiting connections, dry run, by zone %q", c.zone.Name)
			x.connStatus = "REJECTED_DRY_RUN"
			return true
		}
		x.log(l.conn.level, "limiting connections by zone %q", c.zone.Name)
		x.connStatus = "REJECTED"
		x.fail(l.conn.status)
		return false
	}
	return true
}

// uncount gives back what limit_conn has counted of this request.
func (x *exchange) uncount() {
	for _, give := range x.counted {
		give()
	}
	x.counted = nil
}

// Succeed goes on with the zones of the site that this one takes the place of, where they are the same. What their limits
// have counted stays counted.
func (s *Site) Succeed(old *Site) {
	same := func(name string) bool {
		was := old.zones.keys[name]
		return was != nil && was.text == s.zones.keys[name].text
	}
	for name, z := range s.zones.requests {
		if was := old.zones.requests[name]; was != nil && same(name) {
			z.Resume(was)
		}
	}
	for name, z := range s.zones.connections {
		if was := old.zones.connections[name]; was != nil && same(name) {
			z.Resume(was)
		}
	}
}
