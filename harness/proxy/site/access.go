package site

import (
	"bufio"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
)

// access is who may enter a location.
type access struct {
	rules []accessRule // allow and deny, in their order
	any   bool         // satisfy any
	realm *template    // auth_basic; nil: off
	users *template    // auth_basic_user_file
}

type accessRule struct {
	network netip.Prefix
	all     bool
	deny    bool
}

func setAccessRule(_ *builder, c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.access.rules = nil
	}
	r := accessRule{deny: d.Name == "deny"}
	switch text := d.Args[0]; text {
	case "all":
		r.all = true
	case "unix:": // nobody comes that way
	default:
		p, err := parseNetwork(text)
		if err != nil {
			return err
		}
		r.network = p
	}
	c.access.rules = append(slices.Clip(c.access.rules), r)
	return nil
}

// enters asks who is there: 0, or the status that refuses.
func (x *exchange) enters() int {
	a := &x.conf.access
	byAddress := http.StatusOK
	for _, r := range a.rules {
		if r.all || r.network.IsValid() && r.network.Contains(x.remote) {
			if r.deny {
				byAddress = http.StatusForbidden
			}
			break
		}
	}
	if byAddress == http.StatusForbidden && !(a.any && a.realm != nil) {
		x.log("error", "access forbidden by rule")
		return byAddress
	}
	if a.any && len(a.rules) > 0 && byAddress == http.StatusOK {
		return 0
	}
	return x.authenticates()
}

func (x *exchange) authenticates() int {
	a := &x.conf.access
	if a.realm == nil || a.users == nil {
		return 0
	}
	realm := a.realm.eval(x)
	if realm == "off" {
		return 0
	}
	user, password, ok := x.r.HTTP.BasicAuth()
	if !ok || user == "" {
		if x.header().Get("Authorization") == "" {
			x.log("info", "no user/password was provided for basic authentication")
		}
		return x.challenge(realm)
	}
	name := a.users.eval(x)
	f, err := os.Open(name)
	if err != nil {
		x.log("error", "open() %q failed (2: No such file or directory)", name)
		return http.StatusForbidden
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		u, hash, ok := strings.Cut(lines.Text(), ":")
		if !ok || u != user {
			continue
		}
		hash, _, _ = strings.Cut(hash, ":")
		if passes(password, hash) {
			return 0
		}
		x.log("error", "user %q: password mismatch", user)
		return x.challenge(realm)
	}
	x.log("error", "user %q was not found in %q", user, name)
	return x.challenge(realm)
}

func (x *exchange) challenge(realm string) int {
	x.w.Header().Set("Www-Authenticate", fmt.Sprintf("Basic realm=%q", realm))
	return http.StatusUnauthorized
}

// passes compares a password with what a user file holds: {PLAIN}, {SHA}, {SSHA} or Apache's $apr1$.
func passes(password, stored string) bool {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	if rest, ok := strings.CutPrefix(stored, "{PLAIN}"); ok {
		return same(password, rest)
	}
	if rest, ok := strings.CutPrefix(stored, "{SHA}"); ok {
		sum := sha1.Sum([]byte(password))
		return same(base64.StdEncoding.EncodeToString(sum[:]), rest)
	}
	if rest, ok := strings.CutPrefix(stored, "{SSHA}"); ok {
		raw, err := base64.StdEncoding.DecodeString(rest)
		if err != nil || len(raw) < sha1.Size {
			return false
		}
		sum := sha1.Sum(append([]byte(password), raw[sha1.Size:]...))
		return same(string(sum[:]), string(raw[:sha1.Size]))
	}
	if rest, ok := strings.CutPrefix(stored, "$apr1$"); ok {
		salt, _, _ := strings.Cut(rest, "$")
		return same(apr1(password, salt), stored)
	}
	return false
}

// apr1 is Apache's thousandfold MD5.
func apr1(password, salt string) string {
	const magic = "$apr1$"
	salt = salt[:min(len(salt), 8)]
	inner := md5.Sum([]byte(password + salt + password))
	text := []byte(password + magic + salt)
	for n := len(password); n > 0; n -= 16 {
		text = append(text, inner[:min(16, n)]...)
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			text = append(text, 0)
		} else {
			text = append(text, password[0])
		}
	}
	sum := md5.Sum(text)
	for i := range 1000 {
		var round []byte
		put := func(odd bool) {
			if odd == (i&1 == 1) {
				round = append(round, password...)
			} else {
				round = append(round, sum[:]...)
			}
		}
		put(true)
		if i%3 != 0 {
			round = append(round, salt...)
		}
		if i%7 != 0 {
			round = append(round, password...)
		}
		put(false)
		sum = md5.Sum(round)
	}
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := []byte(magic + salt + "$")
	put := func(v uint32, n int) {
		for ; n > 0; n-- {
			out = append(out, alphabet[v&63])
			v >>= 6
		}
	}
	for _, g := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		put(uint32(sum[g[0]])<<16|uint32(sum[g[1]])<<8|uint32(sum[g[2]]), 4)
	}
	put(uint32(sum[11]), 2)
	return string(out)
}
