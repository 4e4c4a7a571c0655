package hist

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// clippedMark separates the payload from the number of clipped values; it is no letter of base64.
const clippedMark = '~'

// MarshalText gives the V2 compressed encoding in base64, as every HdrHistogram library reads it,
// followed by "~N" if N values were clipped.
func (h *Histogram) MarshalText() ([]byte, error) {
	if h.text.of(h) {
		return h.text.text, nil
	}
	p, err := h.h.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("hist: encoding: %w", err)
	}
	if h.clipped != 0 {
		p = fmt.Appendf(p, "%c%d", clippedMark, h.clipped)
	}
	return p, nil
}

// UnmarshalText reads what MarshalText wrote. A histogram of another geometry is refused: its counts
// could not be merged without loss.
func (h *Histogram) UnmarshalText(p []byte) error {
	payload, count, marked := bytes.Cut(p, []byte{clippedMark})
	clipped := int64(0)
	if marked {
		n, err := strconv.ParseInt(string(count), 10, 64)
		if err != nil || n <= 0 {
			return fmt.Errorf("hist: %q behind the payload is no count of clipped values", count)
		}
		clipped = n
	}
	d, err := hdr.Decode(payload)
	if err != nil {
		return fmt.Errorf("hist: not an HdrHistogram V2 text: %w", err)
	}
	if err := check(d); err != nil {
		return err
	}
	if clipped > d.TotalCount() {
		return fmt.Errorf("hist: %d values clipped of %d recorded", clipped, d.TotalCount())
	}
	h.h, h.clipped, h.text = d, clipped, prepared{}
	return nil
}

// maxCount is the greatest total that is believed: sums of a thousand such still fit an int64.
const maxCount = 1 << 53

// check refuses what could not be merged without loss.
func check(d *hdr.Histogram) error {
	if d.LowestTrackableValue() != LowestDiscernible || d.HighestTrackableValue() != HighestTrackable || d.SignificantFigures() != SignificantDigits {
		return fmt.Errorf("hist: geometry %d..%d ns, %d digits; only %d..%d ns, %d digits can be merged",
			d.LowestTrackableValue(), d.HighestTrackableValue(), d.SignificantFigures(), LowestDiscernible, int64(HighestTrackable), SignificantDigits)
	}
	if d.TotalCount() > maxCount {
		return fmt.Errorf("hist: %d values; at most %d are believed", d.TotalCount(), int64(maxCount))
	}
	return nil
}

// LogWriter writes the HdrHistogram interval log, format 1.3: a header, then a line per interval and
// tag. Times in the log are seconds since the base time, values nanoseconds, the maximum column
// milliseconds.
type LogWriter struct {
	w *hdr.HistogramLogWriter
}

// NewLogWriter writes the header. baseMs is the start of the run in milliseconds since the epoch,
// taken down to the whole second that the header has room for; comment is one line that names the run.
func NewLogWriter(w io.Writer, baseMs int64, comment string) (*LogWriter, error) {
	baseMs -= baseMs % 1000
	lw := hdr.NewHistogramLogWriter(w)
	lw.SetBaseTime(baseMs)
	for _, step := range []func() error{
		func() error { return lw.OutputComment("[" + strings.Map(oneLine, comment) + "]") },
		lw.OutputLogFormatVersion,
		func() error { return lw.OutputBaseTime(baseMs) },
		func() error { return lw.OutputStartTime(baseMs) },
		lw.OutputLegend,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &LogWriter{lw}, nil
}

func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// Interval writes what was recorded between startMs and endMs (milliseconds since the epoch) under a
// tag. A tag holds no comma, space or line break.
func (lw *LogWriter) Interval(tag string, startMs, endMs int64, h *Histogram) error {
	if strings.ContainsAny(tag, ", \r\n") {
		return fmt.Errorf("hist: tag %q holds a comma, space or line break", tag)
	}
	d := h.h.Clone()
	d.SetTag(tag)
	d.SetStartTimeMs(startMs)
	d.SetEndTimeMs(endMs)
	return lw.w.OutputIntervalHistogram(d)
}

// Interval is one line of a log, as ReadLog gives it.
type Interval struct {
	Tag            string
	StartMs, EndMs int64
	Histogram      *Histogram
}

// ReadLog reads every interval of a log that NewLogWriter began. A log whose last line was cut off is
// read up to there, and cut is then true.
func ReadLog(r io.Reader) (intervals []Interval, cut bool, err error) {
	p, err := io.ReadAll(r)
	if err != nil {
		return nil, false, err
	}
	if i := bytes.LastIndexByte(p, '\n'); i+1 < len(p) {
		p, cut = p[:i+1], true
	}
	lr := hdr.NewHistogramLogReader(bytes.NewReader(p))
	for {
		d, err := lr.NextIntervalHistogram()
		if err != nil {
			return nil, cut, fmt.Errorf("hist: interval %d: %w", len(intervals)+1, err)
		}
		if d == nil {
			return intervals, cut, nil
		}
		if err := check(d); err != nil {
			return nil, cut, err
		}
		intervals = append(intervals, Interval{d.Tag(), d.StartTimeMs(), d.EndTimeMs(), &Histogram{h: d}})
	}
}
