package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// chart is a picture of lines over an axis. Its colours and dashes are classes of the page's style
// sheet (s0, s1, …), so that dark mode, print and eyes that see few colours all get it.
type chart struct {
	id, title, desc string
	xLabel, yLabel  string
	xTicks          []tick // in x units; where empty, seconds are laid out
	yWords          func(float64) string
	series          []series
	bands           []band // shaded, behind the lines
	marks           []mark // upright lines with a word: where a phase begins
	yMin            float64
	yLeast          float64 // the smallest step between two ticks, where less cannot be written
	fromZero        bool    // the x axis begins at 0 even where no value does
	logY            bool
}

type tick struct {
	at   float64
	text string
}

type series struct {
	name string
	xs   []float64
	ys   []float64
}

type band struct {
	from, to float64
	text     string
}

type mark struct {
	at   float64
	text string
}

// The picture's own units; the page scales it.
const (
	chartWidth, chartHeight = 720.0, 260.0
	left, right             = 76.0, 14.0
	top, bottom             = 26.0, 44.0
)

// SVG draws the chart.
func (c chart) SVG() template.HTML {
	var b strings.Builder
	x0, x1, y1 := c.extent()
	sx := func(x float64) float64 { return left + (x-x0)/(x1-x0)*(chartWidth-left-right) }
	lo, hi := c.yMin, y1
	if c.logY {
		lo, hi = math.Floor(math.Log10(c.lowest())), math.Ceil(math.Log10(y1)+1e-9)
	}
	sy := func(y float64) float64 {
		if c.logY {
			y = math.Log10(math.Max(y, math.Pow(10, lo)))
		}
		return chartHeight - bottom - (y-lo)/(hi-lo)*(chartHeight-top-bottom)
	}
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		chartWidth, chartHeight, c.id, c.id, c.id, html.EscapeString(c.title), c.id, html.EscapeString(c.desc))
	for _, bd := range c.bands {
		from, to := sx(math.Max(bd.from, x0)), sx(math.Min(bd.to, x1))
		fmt.Fprintf(&b, `<rect class="band" x="%s" y="%g" width="%s" height="%g"><title>%s</title></rect>`, f1(from), top, f1(math.Max(1, to-from)), chartHeight-top-bottom, html.EscapeString(bd.text))
	}
	c.grid(&b, lo, hi, sy)
	c.xAxis(&b, x0, x1, sx)
	for _, m := range c.marks {
		fmt.Fprintf(&b, `<line class="mark" x1="%s" x2="%s" y1="%g" y2="%g"/>`, f1(sx(m.at)), f1(sx(m.at)), top-8, chartHeight-bottom)
	}
	c.markWords(&b, sx, x1)
	for i, s := range c.series {
		if len(s.xs) == 1 { // no line, but a value
			fmt.Fprintf(&b, `<circle class="line s%d" cx="%s" cy="%s" r="3"/>`, i%6, f1(sx(s.xs[0])), f1(sy(s.ys[0])))
			continue
		}
		b.WriteString(`<polyline class="line s` + strconv.Itoa(i%6) + `" points="`)
		for k := range s.xs {
			fmt.Fprintf(&b, "%s,%s ", f1(sx(s.xs[k])), f1(sy(s.ys[k])))
		}
		b.WriteString(`"/>`)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // every text in it went through html.EscapeString
}

// markWords writes the names of phases where there is room for them, cut to their phase.
func (c chart) markWords(b *strings.Builder, sx func(float64) float64, end float64) {
	for i, m := range c.marks {
		next := end
		if i+1 < len(c.marks) {
			next = c.marks[i+1].at
		}
		room := int((sx(next) - sx(m.at)) / 6.6) // an average letter's width
		if room < 4 {
			continue
		}
		fmt.Fprintf(b, `<text class="note" x="%s" y="%g">%s</text>`, f1(sx(m.at)+4), top-10, html.EscapeString(cut(m.text, room)))
	}
}

func f1(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// extent is the range of all values; never empty.
func (c chart) extent() (x0, x1, y1 float64) {
	x0, x1 = math.Inf(1), math.Inf(-1)
	for _, s := range c.series {
		for k := range s.xs {
			x0, x1, y1 = math.Min(x0, s.xs[k]), math.Max(x1, s.xs[k]), math.Max(y1, s.ys[k])
		}
	}
	if x0 > x1 {
		x0, x1 = 0, 1
	}
	if c.fromZero {
		x0 = math.Min(x0, 0)
	}
	if x0 == x1 {
		x1 = x0 + 1
	}
	if y1 <= c.yMin {
		y1 = c.yMin + 1
	}
	if !c.logY {
		step := math.Max(c.yLeast, nice(y1-c.yMin))
		y1 = c.yMin + math.Ceil((y1-c.yMin)/step)*step
	}
	return x0, x1, y1
}

// lowest is the smallest value above zero, for a logarithmic axis.
func (c chart) lowest() float64 {
	low := math.Inf(1)
	for _, s := range c.series {
		for _, y := range s.ys {
			if y > 0 {
				low = math.Min(low, y)
			}
		}
	}
	if math.IsInf(low, 1) {
		return 1
	}
	return low
}

// nice is a step of 1, 2 or 5 times a power of ten that makes four to nine steps of a range.
func nice(span float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(span)))
	switch n := span / step; {
	case n < 2:
		return step / 5
	case n < 5:
		return step / 2
	}
	return step
}

// zeros are decimals that say nothing: "50.0ms" on an axis is 50ms.
var zeros = regexp.MustCompile(`\.0+(\D|$)`)

func (c chart) grid(b *strings.Builder, lo, hi float64, sy func(float64) float64) {
	line := func(y float64, text string) {
		fmt.Fprintf(b, `<line class="grid" x1="%g" x2="%g" y1="%s" y2="%s"/><text class="tick" x="%g" y="%s" text-anchor="end">%s</text>`,
			left, chartWidth-right, f1(y), f1(y), left-6, f1(y+4), html.EscapeString(zeros.ReplaceAllString(text, "$1")))
	}
	if c.logY {
		for e := lo; e <= hi; e++ {
			v := math.Pow(10, e)
			line(sy(v), c.yWords(v))
		}
	} else {
		step := math.Max(c.yLeast, nice(hi-lo))
		for n := 0; n <= int((hi-lo)/step+0.5); n++ {
			v := lo + float64(n)*step
			line(sy(v), c.yWords(v))
		}
	}
	fmt.Fprintf(b, `<text class="tick" transform="rotate(-90)" x="%g" y="12" text-anchor="middle">%s</text>`, -(top+chartHeight-bottom)/2, html.EscapeString(c.yLabel))
}

func (c chart) xAxis(b *strings.Builder, x0, x1 float64, sx func(float64) float64) {
	ticks := c.xTicks
	if len(ticks) == 0 {
		step := math.Max(1, nice(x1-x0))
		for x := math.Ceil(x0/step) * step; x <= x1; x += step {
			ticks = append(ticks, tick{x, strconv.FormatFloat(x, 'f', -1, 64)})
		}
	}
	for _, t := range ticks {
		if t.at < x0 || t.at > x1 {
			continue
		}
		fmt.Fprintf(b, `<line class="grid" x1="%s" x2="%s" y1="%g" y2="%g"/><text class="tick" x="%s" y="%g" text-anchor="middle">%s</text>`,
			f1(sx(t.at)), f1(sx(t.at)), chartHeight-bottom, chartHeight-bottom+4, f1(sx(t.at)), chartHeight-bottom+17, html.EscapeString(t.text))
	}
	fmt.Fprintf(b, `<text class="tick" x="%g" y="%g" text-anchor="middle">%s</text>`, (left+chartWidth-right)/2, chartHeight-8, html.EscapeString(c.xLabel))
}
