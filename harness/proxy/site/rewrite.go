package site

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
)

// script compiles the operations of the rewrite module in a block, in their order. parent is the settings of
// the block, which an if's own settings start from.
func (b *builder) script(block []*nginxconf.Directive, parent *conf, inLocation bool) ([]op, error) {
	var out []op
	for _, d := range block {
		var o op
		var err error
		switch d.Name {
		case "set":
			o, err = b.opSet(d)
		case "rewrite":
			o, err = b.opRewrite(d)
		case "return":
			o, err = b.opReturn(d)
		case "break":
			o = func(*exchange) verdict { return stop }
		case "if":
			o, err = b.opIf(d, parent, inLocation)
		default:
			continue
		}
		if err != nil {
			return nil, b.at(d, err)
		}
		out = append(out, o)
	}
	return out, nil
}

func (b *builder) opSet(d *nginxconf.Directive) (op, error) {
	name, ok := strings.CutPrefix(d.Args[0], "$")
	if !ok || name == "" {
		return nil, fmt.Errorf("set: %q is not the name of a variable: it begins with $", d.Args[0])
	}
	value, err := b.parseTemplate(d.Args[1])
	if err != nil {
		return nil, err
	}
	if _, fixed := variables[name]; fixed && name != "args" && name != "limit_rate" {
		return nil, fmt.Errorf("the duplicate %q variable", name)
	}
	return func(x *exchange) verdict {
		if name == "args" {
			x.args, x.unparsed = value.eval(x), false
			return goOn
		}
		x.set(name, value.eval(x))
		return goOn
	}, nil
}

// opRewrite is rewrite: a change of the URI, or a redirect where the replacement begins with a scheme or a
// flag says so.
func (b *builder) opRewrite(d *nginxconf.Directive) (op, error) {
	re, err := b.compileRegex(d.Args[0], false)
	if err != nil {
		return nil, err
	}
	replacement := d.Args[1]
	code, then := 0, goOn
	if strings.HasPrefix(replacement, "http://") || strings.HasPrefix(replacement, "https://") || strings.HasPrefix(replacement, "$scheme") {
		code = http.StatusFound
	}
	if len(d.Args) == 3 {
		switch flag := d.Args[2]; flag {
		case "last":
			then = again
		case "break":
			then = stop
		case "redirect":
			code = http.StatusFound
		case "permanent":
			code = http.StatusMovedPermanently
		default:
			return nil, fmt.Errorf("rewrite: flag %q: allowed are last, break, redirect, permanent", flag)
		}
	}
	keepArgs := true
	if r, ok := strings.CutSuffix(replacement, "?"); ok {
		replacement, keepArgs = r, false
	}
	target, err := b.parseTemplate(replacement)
	if err != nil {
		return nil, err
	}
	hasArgs := strings.Contains(replacement, "?")
	return func(x *exchange) verdict {
		if !re.tests(x.uri, x) {
			return goOn
		}
		result := target.evalURI(x, code != 0)
		if code != 0 {
			result = unescapeRedirect(result)
			if keepArgs && x.args != "" {
				result += map[bool]string{true: "&", false: "?"}[hasArgs] + x.args
			}
			x.failWith(code, x.absolute(result))
			return answered
		}
		path, args, more := strings.Cut(result, "?")
		if keepArgs && x.args != "" {
			if more && args != "" {
				args += "&" + x.args
			} else {
				args = x.args
			}
		}
		x.argsGiven = x.argsGiven || more || !keepArgs
		x.uri, x.args, x.changed = path, args, then != stop
		x.unparsed, x.redirected = false, true
		return then
	}, nil
}

// unescapeRedirect decodes what need not be escaped before the arguments, as nginx does with the target of a redirect.
func unescapeRedirect(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '?' {
			return b.String() + s[i:]
		}
		n, err := uint64(0), error(nil)
		if c != '%' || i+2 >= len(s) {
			b.WriteByte(c)
			continue
		}
		if n, err = strconv.ParseUint(s[i+1:i+3], 16, 8); err != nil || n <= '%' || n >= 0x7f {
			b.WriteByte(c)
			continue
		}
		b.WriteByte(byte(n))
		i += 2
		if n == '?' {
			return b.String() + s[i+1:]
		}
	}
	return b.String()
}

// absolute makes a Location of a path: scheme, host and, where it is not the scheme's own, the port.
func (x *exchange) absolute(to string) string {
	if !strings.HasPrefix(to, "/") || !x.conf.absolute {
		return to
	}
	host := x.host()
	switch {
	case x.conf.nameInRedirect:
		host = x.s.Name
	case x.r.HTTP.Host == "":
		if host = x.r.Conn.Local.Addr().String(); x.r.Conn.Local.Addr().Is6() {
			host = "[" + host + "]"
		}
	}
	port := x.r.Conn.Local.Port()
	if x.conf.portInRedirect && !(x.r.Conn.Scheme == "https" && port == 443 || x.r.Conn.Scheme == "http" && port == 80) {
		host += ":" + strconv.Itoa(int(port))
	}
	return x.r.Conn.Scheme + "://" + host + to
}

func (b *builder) opReturn(d *nginxconf.Directive) (op, error) {
	code, err := strconv.Atoi(d.Args[0])
	text := ""
	switch {
	case err != nil && len(d.Args) == 1:
		code, text = http.StatusFound, d.Args[0]
		if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "$scheme") {
			return nil, fmt.Errorf("return: %q is neither a status nor a URL", text)
		}
	case err != nil || code < 0 || code > 999:
		return nil, fmt.Errorf("invalid return code %q: a status of 0 to 999", d.Args[0])
	case len(d.Args) == 2:
		text = d.Args[1]
	}
	t, err := b.parseTemplate(text)
	if err != nil {
		return nil, err
	}
	return func(x *exchange) verdict {
		if (code < 400 || text != "") && !x.discards() {
			return answered
		}
		switch {
		case code == 301 || code == 302 || code == 303 || code == 307 || code == 308:
			x.failWith(code, x.absolute(t.eval(x)))
		case code == http.StatusNoContent:
			x.w.WriteHeader(code)
		case text != "" || code < 400:
			body := t.eval(x)
			if ct := x.contentType(); ct != "" {
				x.w.Header().Set("Content-Type", ct)
			}
			x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			x.w.WriteHeader(code)
			x.w.Write([]byte(body))
		default:
			x.fail(code)
		}
		return answered
	}, nil
}

// opIf is if. In a location a condition that holds also puts the if's settings in force, which is why the
// last one that held decides where the request goes.
func (b *builder) opIf(d *nginxconf.Directive, parent *conf, inLocation bool) (op, error) {
	cond, err := b.condition(d.Args)
	if err != nil {
		return nil, err
	}
	inner := parent
	if inLocation {
		if inner, err = b.inherit(parent, d.Block); err != nil {
			return nil, err
		}
	}
	body, err := b.script(d.Block, inner, inLocation)
	if err != nil {
		return nil, err
	}
	return func(x *exchange) verdict {
		if !cond(x) {
			return goOn
		}
		if inLocation {
			x.conf = inner
		}
		return x.run(body)
	}, nil
}

// condition compiles the forms of if: a variable alone, = and !=, the regular expressions ~ ~* !~ !~*, and the
// file tests -f -d -e -x with their negations.
func (b *builder) condition(args []string) (func(*exchange) bool, error) {
	words := append([]string(nil), args...)
	bad := fmt.Errorf("if: %q is not a condition: ($variable), ($variable = text), ($variable ~ expression), (-f file) and their negations", strings.Join(args, " "))
	if len(words) == 0 || !strings.HasPrefix(words[0], "(") || !strings.HasSuffix(words[len(words)-1], ")") {
		return nil, bad
	}
	if words[0] = words[0][1:]; words[0] == "" {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil, bad
	}
	last := len(words) - 1
	if words[last] = strings.TrimSuffix(words[last], ")"); words[last] == "" {
		words = words[:last]
	}
	switch {
	case len(words) == 1 && strings.HasPrefix(words[0], "$"):
		t, err := b.parseTemplate(words[0])
		return func(x *exchange) bool { v := t.eval(x); return v != "" && v != "0" }, err
	case len(words) == 2 && (strings.HasPrefix(words[0], "-") || strings.HasPrefix(words[0], "!-")):
		return b.fileTest(words[0], words[1])
	case len(words) == 3 && strings.HasPrefix(words[0], "$"):
	default:
		return nil, bad
	}
	left, err := b.parseTemplate(words[0])
	if err != nil {
		return nil, err
	}
	switch operator := words[1]; operator {
	case "=", "!=":
		right, err := b.parseTemplate(words[2])
		return func(x *exchange) bool { return (left.eval(x) == right.eval(x)) == (operator == "=") }, err
	case "~", "~*", "!~", "!~*":
		re, err := b.compileRegex(words[2], strings.HasSuffix(operator, "*"))
		if err != nil {
			return nil, err
		}
		if operator[0] == '!' {
			return func(x *exchange) bool { return !re.tests(left.eval(x), x) }, nil
		}
		return func(x *exchange) bool { return re.tests(left.eval(x), x) }, nil
	}
	return nil, bad
}

func (b *builder) fileTest(operator, path string) (func(*exchange) bool, error) {
	t, err := b.parseTemplate(path)
	if err != nil {
		return nil, err
	}
	name, negated := strings.CutPrefix(operator, "!")
	var test func(os.FileInfo) bool
	switch name {
	case "-f":
		test = func(fi os.FileInfo) bool { return fi.Mode().IsRegular() }
	case "-d":
		test = os.FileInfo.IsDir
	case "-e":
		test = func(os.FileInfo) bool { return true }
	case "-x":
		test = func(fi os.FileInfo) bool { return fi.Mode()&0o111 != 0 }
	default:
		return nil, fmt.Errorf("if: file test %q: allowed are -f, -d, -e, -x and their negations", operator)
	}
	return func(x *exchange) bool {
		fi, err := stat(t.eval(x))
		return (err == nil && test(fi)) != negated
	}, nil
}
