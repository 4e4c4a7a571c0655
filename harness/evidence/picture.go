package evidence

import (
	"fmt"
	"html"
	"strings"
	"time"
	"unicode/utf8"
)

// The picture's own units. Three upright lines: browser, path, edge.
const (
	pictureWidth = 980
	timeX        = 96 // times end here
	browserX     = 130
	pathX        = 440
	edgeX        = 750
	logX         = 766
	lineHeight   = 19
)

const pictureStyle = `
.paper{fill:#fff}.ink{fill:#1b1f24}.soft{fill:#57606a}.bad{fill:#b3261e}.ok{fill:#1a6b35}.warn{fill:#8a5a00}
.rule{stroke:#d0d7de}.arrow{stroke:#1b1f24;stroke-width:1.6;fill:none}.hurt{stroke:#b3261e}.tip{fill:#1b1f24}.hurt-tip{fill:#b3261e}
.panel{fill:#f6f8fa;stroke:#d0d7de}.end-bad{fill:#fdeceb;stroke:#b3261e}.end-ok{fill:#eaf6ed;stroke:#1a6b35}
.cross{stroke:#b3261e;stroke-width:3;stroke-linecap:round}
text{font:14px/1 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.small{font-size:12px}.big{font-size:17px;font-weight:600}.strong{font-weight:600}.mono{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px}
@media (prefers-color-scheme:dark){
.paper{fill:#0f1419}.ink{fill:#e6edf3}.soft{fill:#9da7b1}.bad{fill:#ff8a80}.ok{fill:#6fdd8b}.warn{fill:#f0b849}
.rule{stroke:#30363d}.arrow{stroke:#e6edf3}.hurt{stroke:#ff8a80}.tip{fill:#e6edf3}.hurt-tip{fill:#ff8a80}
.panel{fill:#161b22;stroke:#30363d}.end-bad{fill:#3a1714;stroke:#ff8a80}.end-ok{fill:#12301b;stroke:#6fdd8b}.cross{stroke:#ff8a80}}
`

// canvas grows downwards.
type canvas struct {
	b strings.Builder
	y int
}

func (c *canvas) text(x int, anchor, class, text string) {
	fmt.Fprintf(&c.b, `<text x="%d" y="%d" text-anchor="%s" class="%s">%s</text>`+"\n", x, c.y, anchor, class, html.EscapeString(text))
}

// draw makes the picture: attempts top to bottom, each story with what the user got at its end. It needs nothing
// from elsewhere, and says all of it in words too.
func draw(list []*story) string {
	c := &canvas{y: 34}
	var told []string
	for _, s := range list {
		told = append(told, c.story(s))
		c.y += 40
	}
	title := "How it looked to " + list[0].last().Profile
	if len(list) > 1 {
		title += fmt.Sprintf(" and %d other page loads", len(list)-1)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+"\n",
		pictureWidth, c.y, pictureWidth, c.y)
	fmt.Fprintf(&out, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n<style>%s</style>\n", html.EscapeString(title),
		html.EscapeString(strings.Join(told, " ")), pictureStyle)
	fmt.Fprintf(&out, `<rect class="paper" width="%d" height="%d"/>`+"\n%s</svg>\n", pictureWidth, c.y, c.b.String())
	return out.String()
}

// story draws one page load and returns it in words.
func (c *canvas) story(s *story) string {
	r := s.last()
	c.text(24, "start", "big ink", r.Profile)
	c.y += 20
	under := fmt.Sprintf("%s, browser %d", r.Phase, r.Browser)
	if s.alike > 1 {
		under += fmt.Sprintf("; %d page loads of this browser went the same way", s.alike)
	}
	c.text(24, "start", "small soft", under)
	c.y += 30
	for x, name := range map[int]string{browserX: "browser", pathX: "path", edgeX: "edge"} {
		c.text(x, "middle", "small soft", name)
	}
	c.y += 10
	top := c.y
	body := &canvas{y: c.y + 22}
	told := []string{fmt.Sprintf("%s, browser %d:", r.Profile, r.Browser)}
	for _, row := range s.rows() {
		body.row(row)
		told = append(told, row.words())
	}
	for _, x := range []int{browserX, pathX, edgeX} {
		fmt.Fprintf(&c.b, `<line class="rule" x1="%d" x2="%d" y1="%d" y2="%d"/>`+"\n", x, x, top, body.y-66)
	}
	c.b.WriteString(body.b.String())
	c.y = body.y
	return strings.Join(told, " ")
}

// words is the row for those who hear it.
func (r row) words() string {
	t := r.text
	if r.more != "" {
		t += ", " + r.more
	}
	switch r.kind {
	case rowHead:
		return short(r.at) + ": " + t + "."
	case rowFault:
		return "Fault: " + t + "."
	case rowLog:
		return "The edge logs " + t + "."
	case rowWait:
		return "After " + short(r.at) + " it tries again."
	case rowRight:
		return "The browser sends " + t + "."
	case rowEnd:
		return strings.ToUpper(t[:min(1, len(t))]) + t[min(1, len(t)):] + "."
	}
	return "Back comes: " + t + "."
}

func (c *canvas) row(r row) {
	if r.kind == rowEnd {
		c.y += 8
	}
	if r.kind != rowWait {
		c.text(timeX, "end", "small soft", short(r.at))
	}
	switch r.kind {
	case rowHead:
		fmt.Fprintf(&c.b, `<rect class="panel" x="%d" y="%d" width="%d" height="26" rx="4"/>`+"\n", browserX-10, c.y-18, edgeX-browserX+20)
		c.text(browserX, "start", "strong ink", r.text)
		c.text(edgeX, "end", "small soft", r.more)
		c.y += 34
	case rowRight:
		to := edgeX
		if r.cut {
			to = pathX - 14
		}
		c.arrow(browserX, to, r)
	case rowLeft:
		from := edgeX
		if r.cut || r.silent {
			from = pathX + 14
		}
		c.arrow(from, browserX, r)
	case rowFault:
		fmt.Fprintf(&c.b, `<path class="cross" d="M%d %dl14 14m0 -14l-14 14"/>`+"\n", pathX-7, c.y-13)
		c.text(pathX+22, "start", "strong bad", r.text)
		c.y += lineHeight
		c.text(pathX+22, "start", "small soft", r.more)
		c.y += lineHeight + 6
	case rowLog:
		class := "warn"
		if r.bad {
			class = "bad"
		}
		c.text(logX, "start", "mono "+class, "logs "+r.text)
		for _, line := range wrap(r.more, 27) {
			c.y += lineHeight - 3
			c.text(logX, "start", "small soft", line)
		}
		c.y += lineHeight + 6
	case rowWait:
		c.text(browserX+12, "start", "small soft", "↓ after "+short(r.at)+" it tries again")
		c.y += 30
	case rowEnd:
		class, ink, sign := "end-ok", "ok", "✓ "
		if r.bad {
			class, ink, sign = "end-bad", "bad", "✗ "
		}
		lines := wrap(sign+r.text, 84)
		fmt.Fprintf(&c.b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="4"/>`+"\n", class, browserX-10, c.y-20, pictureWidth-browserX-14, 10+22*len(lines))
		for _, l := range lines {
			c.text(browserX+4, "start", "strong "+ink, l)
			c.y += 22
		}
		c.y += 20
	}
}

// arrow draws what goes over the path, with its words above the line.
func (c *canvas) arrow(from, to int, r row) {
	class, tip, ink := "arrow", "tip", "ink"
	if r.bad {
		class, tip, ink = "arrow hurt", "hurt-tip", "bad"
	}
	if r.silent {
		c.text(min(from, to)+16, "start", "strong "+ink, r.text)
		c.y += lineHeight + 8
		return
	}
	left := min(from, to) + 16
	for _, l := range wrap(r.text, 64*(max(from, to)-min(from, to))/(edgeX-browserX)) {
		c.text(left, "start", "strong "+ink, l)
		c.y += lineHeight
	}
	if r.more != "" {
		c.text(left, "start", "small soft", r.more)
		c.y += lineHeight
	}
	y := c.y - 10
	d := 9
	if to < from {
		d = -9
	}
	fmt.Fprintf(&c.b, `<line class="%s" x1="%d" x2="%d" y1="%d" y2="%d"/><path class="%s" d="M%d %dl%d -5v10z"/>`+"\n", class, from, to-d, y, y, tip, to, y, -d)
	c.y += lineHeight
}

// wrap breaks a text into lines of about so many letters, at spaces where there are any.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}

// short words a time for the picture's margin.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
