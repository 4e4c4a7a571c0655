package site

import (
	"net/http"
	"slices"
)

// route runs the server's operations, finds the location and goes on there.
func (x *exchange) route() {
	x.changed = false
	if x.run(x.s.script) == answered {
		return
	}
	x.search()
}

// search finds the location of the URI, runs its operations and answers.
func (x *exchange) search() {
	for {
		loc, _ := x.s.locs.find(x.uri, x)
		if loc == nil {
			x.conf, x.loc = x.s.conf, nil
		} else {
			x.enter(loc)
		}
		if x.conf.internal && !x.redirected {
			x.fail(http.StatusNotFound)
			return
		}
		if max := x.conf.maxBody; max > 0 && x.r.HTTP.ContentLength > max {
			x.log("error", "client intended to send too large body: %d bytes", x.r.HTTP.ContentLength)
			x.w.close = true
			x.fail(http.StatusRequestEntityTooLarge)
			return
		}
		if loc != nil && loc.slashes(x.uri) {
			x.failWith(http.StatusMovedPermanently, x.absolute(x.withArgs(loc.pattern)))
			return
		}
		x.changed = false
		if x.excepted() {
			x.admitted()
			return
		}
		switch x.runLocation(loc) {
		case again:
			if x.turned("rewrite or internal redirection cycle while processing %q", x.uri) {
				continue
			}
			return
		case answered:
			return
		}
		x.admitted()
		return
	}
}

// turned counts how often a request was sent round; false: too often, and it was answered with 500.
func (x *exchange) turned(format string, a ...any) bool {
	if x.turns++; x.turns <= maxCycles {
		return true
	}
	x.log("error", format, a...)
	x.errored = true
	x.fail(http.StatusInternalServerError)
	return false
}

// excepted puts the settings of limit_except in force where they hold; the location's own operations then are passed over.
func (x *exchange) excepted() bool {
	if x.conf.except == nil || slices.Contains(x.conf.except.methods, x.method) {
		return false
	}
	x.conf = x.conf.except.conf
	return true
}

// admitted asks how many there are and who is there, then answers.
func (x *exchange) admitted() {
	if !x.withinLimits() {
		return
	}
	if code := x.enters(); code != 0 {
		x.fail(code)
		return
	}
	if len(x.conf.tryFiles) > 0 && !x.tryFiles() {
		return
	}
	x.content()
}

func (x *exchange) enter(loc *location) { x.loc, x.conf = loc, loc.conf }

func (x *exchange) runLocation(loc *location) verdict {
	if loc == nil {
		return goOn
	}
	switch v := x.run(loc.script); v {
	case answered, again:
		return v
	case stop:
		return goOn
	}
	if x.changed {
		return again
	}
	return goOn
}

func (x *exchange) run(script []op) verdict {
	for _, o := range script {
		if v := o(x); v != goOn {
			return v
		}
	}
	return goOn
}

// content answers with what the location is for.
func (x *exchange) content() {
	switch {
	case x.conf.status:
		x.stubStatus()
	case x.conf.emptyGIF:
		x.gif()
	case x.conf.pass != nil:
		x.forward(x.conf.pass)
	default:
		x.static()
	}
}
